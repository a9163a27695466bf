"""What an ingest token lets its bearer write by remote write: labels, and a number of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from barograph_prometheus import wire
from barograph_prometheus.labelling import REASONS, BadLabels, LabelLimits, checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.senders import Sender
    from barograph_prometheus.known import KnownSeries
    from barograph_prometheus.refusals import Refused
    from barograph_prometheus.wire import Decoded

NO_ROOM = -1
"""In place of an entry: there is no room for the series. ``NO_ROOM - 1 - k``: its labels are
refused for ``REASONS[k]``."""


def verdict(sender: Sender, span: bytes, refused: Refused) -> int:
    """0 if a sender may write a series with these label bytes, else what stands for its entry."""
    token = sender.token
    limits = LabelLimits(token.max_labels, token.max_label_chars, token.max_label_chars)
    try:
        checked(wire.labels_at(span, 0, len(span)), limits)
    except BadLabels as error:
        refused.example(error.reason, str(error))
        return NO_ROOM - 1 - REASONS.index(error.reason)
    return 0


def within(
    sender: Sender, body: bytes, decoded: Decoded, known: KnownSeries,
    entries: NDArray[np.int64], now_ms: int, refused: Refused,
) -> None:  # fmt: skip
    """Take the entries int64[n] of series that a sender may not write out, in place.

    Labels are looked at when a sender writes a series for the first time; later its refs tell.
    """
    refs = np.where(entries >= 0, known.refs[np.maximum(entries, 0)], 0)
    there = np.flatnonzero(refs > 0)
    for i in [*np.flatnonzero(entries < 0), *there[~sender.takes(refs[there])]]:
        entries[i] = verdict(sender, _span(body, decoded, i), refused) or entries[i]
    there = there[entries[there] >= 0]
    entries[there[~sender.take(refs[there], now_ms)]] = NO_ROOM
    if (entries == NO_ROOM).any():
        refused.example("too_many_series", sender.full)


def _span(body: bytes, decoded: Decoded, i: int) -> bytes:
    return body[decoded.starts[i] : decoded.ends[i]]
