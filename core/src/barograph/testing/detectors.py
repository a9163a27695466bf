"""What ``barograph.contracts.Detector`` promises, tried on a real detector."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.contracts import TeachableDetector
from barograph.detection import Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Detector

_START = 1_700_000_000_000
_STEP_MS = 300_000


def check_detector(detector: Detector, *, joint: bool = False, samples: int = 400) -> None:
    """Scores in [0, 1], the same from a stream and from history, of nothing that comes later, and
    of no other series; missing values; a state that grows, shrinks, is kept and restored.

    ``joint``: the series that one state holds are judged together; the laws on single series are
    left out.
    """
    name = detector.name
    assert isinstance(name, str), f"detector name {name!r} is no text"
    assert re.fullmatch(r"[a-z0-9_.-]+", name), f"detector name {name!r} is not plain"
    t = _START + np.arange(samples, dtype=np.int64) * _STEP_MS
    series = _series(samples)
    table = np.array(list(series.values()))
    watch = Watch(detector, len(table))
    for part, rows in watch.state.items():
        assert isinstance(rows, np.ndarray), f"{name}: state {part!r} is no array"
        assert len(rows) == len(table), f"{name}: the first axis of {part!r} is not the series"
    scores = _stream(watch, t, table)
    for kind, row, found in zip(series, table, scores, strict=True):
        _check_range(f"{name}, {kind}", row, found)
    if not joint:
        _check_alone(detector, t, series, scores)
    _check_keeping(detector, t, table, scores)
    if isinstance(detector, TeachableDetector):
        _check_teachable(detector, t, table)


def _series(n: int) -> dict[str, NDArray[np.float64]]:
    """What a host has, and what breaks detectors."""
    rng = np.random.default_rng(7)
    hour = np.arange(n) % 48
    noise = rng.normal(50, 2, n)
    spikes = np.where(rng.random(n) < 0.02, 400.0, noise)
    shift = noise + 60.0 * (np.arange(n) > n // 2)
    holes = np.where(rng.random(n) < 0.3, np.nan, noise)
    endless = np.where(np.arange(n) % 97 == 5, np.inf, noise)
    counter = np.cumsum(rng.integers(0, 900, n)).astype(float)
    counter[n // 2 :] -= counter[n // 2]
    short = np.full(n, np.nan)
    short[n // 3 : n // 3 + 3] = (1.0, 5.0, 1.0)
    return {
        "noise": noise, "spikes": spikes, "level shift": shift, "season": noise + 9 * (hour > 30),
        "constant": np.full(n, 3.0), "zeros": np.zeros(n), "holes": holes, "infinities": endless,
        "counter with a reset": counter, "nothing": np.full(n, np.nan), "three samples": short,
        "huge": noise * 1e300, "tiny": noise * 1e-300, "huge with small noise": 1e9 + noise,
    }  # fmt: skip


def _stream(watch: Watch, t: NDArray[np.int64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[series, samples]: scores of a stream."""
    out = np.empty(table.shape)
    for i, t_ms in enumerate(t.tolist()):
        tick = table[:, i].copy()
        found = watch.update(t_ms, tick)
        assert np.array_equal(tick, table[:, i], equal_nan=True), (
            f"{watch.detector.name}: update wrote into the values it was given"
        )
        assert found.shape == (len(table),), (
            f"{watch.detector.name}: update gave {found.shape} scores for {len(table)} series"
        )
        out[:, i] = found
    return out


def _check_range(where: str, values: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    assert not np.isnan(scores).any(), f"{where}: a score is NaN (first at {_first(scores)})"
    assert (scores >= 0).all(), f"{where}: a score is below 0"
    assert (scores <= 1).all(), f"{where}: a score is above 1"
    assert not scores[~np.isfinite(values)].any(), f"{where}: a missing value must score 0"


def _first(scores: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(np.isnan(scores))[0])


def _check_alone(
    detector: Detector, t: NDArray[np.int64], series: dict[str, NDArray[np.float64]],
    scores: NDArray[np.float64],
) -> None:  # fmt: skip
    for (kind, values), streamed in zip(series.items(), scores, strict=True):
        where = f"{detector.name}, {kind}"
        past = detector.score(t, values)
        assert past.shape == values.shape, f"{where}: score gave {past.shape}"
        assert np.allclose(past, streamed, rtol=0, atol=1e-9), (
            f"{where}: score and update differ, first at "
            f"{int(np.flatnonzero(np.abs(past - streamed) > 1e-9)[0])}; perhaps update keeps "
            "something outside the state, or looks at other series"
        )
        cut = 2 * len(t) // 3
        before = detector.score(t[:cut], values[:cut])
        assert np.allclose(before, past[:cut], rtol=0, atol=1e-9), (
            f"{where}: a score changes with what comes after it"
        )
    empty = detector.score(t[:0], np.empty(0))
    assert empty.shape == (0,), f"{detector.name}: score of nothing gave {empty.shape}"


def _check_keeping(
    detector: Detector, t: NDArray[np.int64], table: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:  # fmt: skip
    """Saved and restored in mid-stream, it goes on as if nothing had been; so do the rest of the
    series when one is removed and two are added."""
    name, half = detector.name, len(t) // 2
    first = Watch(detector, len(table))
    _stream(first, t[:half], table[:, :half])
    second = Watch(detector)
    second.restore(first.save())
    assert np.allclose(_stream(second, t[half:], table[:, half:]), scores[:, half:], atol=1e-9), (
        f"{name}: what was saved and restored goes on differently"
    )
    first.remove([1])
    assert len(first) == len(table) - 1, f"{name}: a series cannot be removed"
    first.add(2)
    rest = np.vstack([np.delete(table, 1, axis=0), table[:2]])[:, half:]
    after = _stream(first, t[half:], rest)
    assert after.shape == rest.shape, f"{name}: series cannot be added"


def _check_teachable(
    detector: TeachableDetector, t: NDArray[np.int64], table: NDArray[np.float64]
) -> None:
    watch = Watch(detector, len(table))
    _stream(watch, t, table)
    for i in range(len(table)):
        text: Any = detector.explain(watch.state, i, "load", "seconds")
        assert isinstance(text, str), f"{detector.name}: explain gave {type(text).__name__}"
        before = {part: np.delete(rows, i, axis=0) for part, rows in watch.save().items()}
        detector.accept(watch.state, i)
        for part, rows in watch.state.items():
            assert np.array_equal(np.delete(rows, i, axis=0), before[part], equal_nan=True), (
                f"{detector.name}: accept changed another series"
            )
