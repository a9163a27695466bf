"""A sender's series: as many as its token says, whichever way they come."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from barograph.ingest_tokens import IngestToken
from barograph.senders import IDLE_MS, Sender

MINUTE_MS = 60_000


def sender(most: int) -> Sender:
    return Sender(IngestToken("web1", "-", 0, max_series=most))


def refs(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_series_up_to_the_limit_are_taken_and_later_ones_are_not() -> None:
    one, now = sender(3), 10 * IDLE_MS
    assert one.take(refs(5, 9, 5), now).tolist() == [True, True, True]
    assert one.room(now) == 1
    assert one.take(refs(1, 2, 9, 3), now).tolist() == [True, False, True, False]
    assert one.takes(refs(5, 2, 1000)).tolist() == [True, False, False]
    assert one.room(now) == 0


def test_what_is_kept_elsewhere_counts_too() -> None:
    one, now = sender(10), 10 * IDLE_MS
    one.set_aside("application", 8)
    assert one.take(refs(1, 2, 3), now).tolist() == [True, True, False]
    one.set_aside("application", 0)
    assert one.room(now) == 8


def test_series_that_are_no_longer_written_make_room() -> None:
    one, now = sender(2), 10 * IDLE_MS
    one.take(refs(1, 2), now)
    later = now + IDLE_MS - MINUTE_MS
    assert one.take(refs(2, 3), later).tolist() == [True, False]
    assert one.take(refs(2, 3), later + 2 * MINUTE_MS).tolist() == [True, True]
    assert one.takes(refs(1, 2, 3)).tolist() == [False, True, True]


def test_nothing_asked_is_nothing_taken() -> None:
    assert sender(1).take(refs(), 0).tolist() == []


class Taking(RuleBasedStateMachine):
    """Against sets and a dict of times."""

    MOST = 6

    def __init__(self) -> None:
        super().__init__()
        self.sender = sender(self.MOST)
        self.now = 100 * IDLE_MS
        self.used: dict[int, int] = {}
        self.aside = 0

    @rule(given=st.lists(st.integers(1, 12), max_size=8))
    def take(self, given: list[int]) -> None:
        new = sorted({ref for ref in given if ref not in self.used})
        for ref in set(given) & set(self.used):
            self.used[ref] = self.now
        if new and len(self.used) + self.aside >= self.MOST:
            self.release()
        for ref in new[: max(self.MOST - len(self.used) - self.aside, 0)]:
            self.used[ref] = self.now
        granted = self.sender.take(refs(*given), self.now)
        assert granted.tolist() == [ref in self.used for ref in given]

    def release(self) -> None:
        self.used = {ref: t for ref, t in self.used.items() if t >= self.now - IDLE_MS}

    @rule(minutes=st.sampled_from([1, 20, 59, 60, 61, 300]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE_MS

    @rule(n=st.integers(0, 8))
    def set_aside(self, n: int) -> None:
        self.aside = n
        self.sender.set_aside("application", n)

    @invariant()
    def never_more_than_its_limit(self) -> None:
        held = self.sender.takes(np.arange(1, 13))
        assert held.sum() <= self.MOST


TestTaking = Taking.TestCase
