"""A plugin to copy: one metric source with two options, and a chart of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from barograph import Sample, hookimpl
from barograph.config import Duration, option, options

if TYPE_CHECKING:
    from barograph.contracts import MetricSource, Widget


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
def barograph_metric_sources(config: Config) -> Sequence[MetricSource]:
    return [TemplateSource(config)]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph.widgets import chart, query  # only when something is shown

    return [
        chart(
            "random",
            "Random value",
            query("template_random_value", legend="value"),
            section="Template",
            minimum=0,
            help="The example metric of the template plugin.",
            bad="Nothing is: it is random.",
        )
    ]
