"""What senders and targets say of their metrics."""

from __future__ import annotations

import attrs

from barograph.model import Metric
from barograph_prometheus.labelling import metric_of
from barograph_prometheus.wire import Metadata

MAX_FAMILIES = 20_000
MAX_NAME = 1024
MAX_HELP = 1024
MAX_UNIT = 64
"""Characters that are remembered; a family of a longer name is not."""

_ENDS = ("_bucket", "_count", "_sum", "_total", "_created", "_info")


class Families:
    """Metadata by metric family, bounded; what is not known is told from the name."""

    def __init__(self) -> None:
        self._known: dict[str, Metadata] = {}

    def add(self, one: Metadata) -> None:
        """The newest word counts; beyond ``MAX_FAMILIES`` new families are not remembered."""
        if len(one.name) <= MAX_NAME and (
            one.name in self._known or len(self._known) < MAX_FAMILIES
        ):
            short = attrs.evolve(one, help=one.help[:MAX_HELP], unit=one.unit[:MAX_UNIT])
            self._known[one.name] = short

    def metric(self, name: str) -> Metric:
        """The metric of a series."""
        for family in families_of(name):
            one = self._known.get(family)
            if one is not None:
                return described(name, one)
        return metric_of(name)


def described(name: str, one: Metadata) -> Metric:
    """The metric of a series of which its sender says this."""
    return metric_of(name, one.type, one.help[:MAX_HELP], one.unit[:MAX_UNIT])


def families_of(name: str) -> tuple[str, ...]:
    """The families that a series' name may belong to, the likeliest first."""
    for end in _ENDS:
        if name.endswith(end):
            return (name, name.removesuffix(end))
    return (name,)
