"""A plugin to copy: one metric source with one option, and a chart of it."""

from __future__ import annotations

import random
from collections.abc import Iterable

from barograph import Sample, hookimpl
from barograph.config import Duration, option, options


@options
class Config:
    """Options of ``[plugins.template]``."""

    interval: Duration = option("1s", help="Time between samples", minimum=0.1)
    amplitude: float = option(1.0, help="Greatest value of the example metric", minimum=0)


class TemplateSource:
    """Yields one sample a tick; replace ``collect`` by what you want to measure."""

    name = "template"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.interval)
        self._amplitude = config.amplitude

    def collect(self, now_ms: int) -> Iterable[Sample]:
        yield Sample("template_random_value", random.random() * self._amplitude,
                     help="A random number")  # fmt: skip


@hookimpl
def barograph_metric_sources(config: Config) -> list[TemplateSource]:
    return [TemplateSource(config)]
