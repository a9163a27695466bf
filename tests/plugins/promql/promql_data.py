"""An hour of generated samples with everything that queries stumble over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import attrs
import numpy as np

from barograph.contracts import Store
from barograph.model import STALE_NAN_BITS, Batch, Labels, Metric

EVERY_MS = 15_000
COUNT = 240
STALE = np.array([STALE_NAN_BITS], np.int64).view(np.float64)[0]


@attrs.frozen(eq=False)
class Data:
    """Series with times and values; all between ``start_ms`` and ``end_ms``."""

    start_ms: int
    end_ms: int
    series: list[tuple[Labels, np.ndarray, np.ndarray]] = attrs.field(repr=False)

    def parts(self, count: int = 12) -> Iterator[list[tuple[Labels, np.ndarray, np.ndarray]]]:
        """All series, a stretch of time after the other."""
        bounds = np.linspace(self.start_ms - EVERY_MS, self.end_ms + 1, count + 1).astype(np.int64)
        for low, high in itertools.pairwise(bounds):
            part = []
            for labels, t, v in self.series:
                inside = (t >= low) & (t < high)
                if inside.any():
                    part.append((labels, t[inside], v[inside]))
            yield part

    def fill(self, store: Store) -> None:
        refs = store.intern([(labels, Metric(labels.name)) for labels, _, _ in self.series])
        order = {labels: ref for (labels, _, _), ref in zip(self.series, refs, strict=True)}
        for part in self.parts():
            owner = np.concatenate([np.full(len(t), order[labels]) for labels, t, _ in part])
            times = np.concatenate([t for _, t, _ in part])
            values = np.concatenate([v for _, _, v in part])
            by_time = np.argsort(times, kind="stable")
            store.append([Batch(owner[by_time], times[by_time], values[by_time])])


def generate(end_ms: int, seed: int = 1) -> Data:
    """An hour up to about ``end_ms``."""
    rng = np.random.default_rng(seed)
    start = (end_ms - EVERY_MS * COUNT) // 60_000 * 60_000
    grid = start + EVERY_MS * np.arange(COUNT, dtype=np.int64)
    out: list[tuple[Labels, np.ndarray, np.ndarray]] = []

    def add(name: str, labels: dict[str, str], t: np.ndarray, v: np.ndarray) -> None:
        values = np.array(v, np.float64)
        out.append((Labels.of(name, labels), np.array(t, np.int64), values))

    for job in ("api", "web"):
        for instance in ("0", "1", "2"):
            for code in ("200", "404", "500"):
                v = np.cumsum(rng.poisson(5 if code == "200" else 0.3, COUNT)).astype(float)
                for reset in np.sort(rng.integers(1, COUNT, rng.integers(0, 4))):
                    v[reset:] -= v[reset]
                keep = rng.random(COUNT) > 0.03
                if instance == "2":
                    gap = int(rng.integers(20, 200))
                    keep[gap : gap + 30] = False
                where = {"job": job, "instance": instance, "code": code}
                add("requests_total", where, grid[keep] + int(rng.integers(0, 900)), v[keep])
    for job in ("api", "web"):
        for instance in ("0", "1", "2", "3"):
            v = 50 + 20 * np.sin(np.arange(COUNT) / 17) + rng.normal(0, 5, COUNT)
            v[rng.integers(0, COUNT, 3)] = np.nan
            if instance == "3":
                v[::40] = STALE
                v[1::40] = STALE
            add("temperature", {"job": job, "instance": instance}, grid, v)
    for n in range(12):
        v = np.round(rng.normal(0, 3, COUNT)) + 0.0  # no -0: it equals 0, and has another text
        add("steps", {"n": str(n), "group": "abc"[n % 3], "even": str(n % 2)}, grid, v)
    odd = [math.inf, -math.inf, math.nan, 0.0, -0.0, 1e300, -1e300, 1e-300, 1.5, -2.5, 1e16, -1e16]
    for n in range(4):
        picked = np.array([odd[i] for i in rng.integers(0, len(odd), COUNT)])
        add("odd", {"n": str(n)}, grid, picked)
        tame = np.array([math.inf, -math.inf, math.nan, 0.0, 1.5, -2.5, 7.0])
        add("special", {"n": str(n)}, grid, tame[rng.integers(0, len(tame), COUNT)])
    add("odd", {"n": "finite"}, grid, np.where(np.arange(COUNT) % 3 == 0, 1e100, np.where(
        np.arange(COUNT) % 3 == 1, 1.0, -1e100)))  # fmt: skip
    add("constant", {}, grid, np.full(COUNT, 7.25))
    add("constant", {"kind": "infinite"}, grid, np.full(COUNT, np.inf))
    add("constant", {"kind": "nan"}, grid, np.full(COUNT, np.nan))
    add("linear", {}, grid, 3 + 0.25 * np.arange(COUNT))
    jitter = start + np.cumsum(rng.integers(500, 40_000, COUNT))
    jitter = jitter[jitter < grid[-1]]
    add("jitter", {"kind": "gauge"}, jitter, rng.normal(0, 1, len(jitter)))
    add("jitter_total", {"kind": "counter"}, jitter, np.cumsum(rng.random(len(jitter))))
    add("seldom", {}, grid[::30], np.arange(8.0))
    add("once", {"a": "b"}, grid[100:101], np.array([42.0]))
    half = COUNT // 2
    for instance in ("0", "1", "2"):
        cut = half + int(rng.integers(-40, 40))
        ended = np.append(np.ones(cut), STALE)
        labels = {"instance": instance, "version": "1"}
        add("build_info", labels, grid[: cut + 1], ended)
        add("build_info", labels | {"version": "2"}, grid[cut:], np.ones(COUNT - cut))
    cut = half + 7
    add("left", {"x": "1"}, grid[:cut], np.arange(float(cut)))
    add("right", {"x": "1"}, grid[cut + 25 :], np.arange(float(COUNT - cut - 25)))
    bounds = ["0.1", "0.5", "1", "2.5", "+Inf"]
    for instance in ("0", "1"):
        for path in ("/", "/a"):
            seen = rng.poisson(2, (COUNT, len(bounds)))
            counts = np.cumsum(np.cumsum(seen, axis=1), axis=0).astype(float)
            where = {"instance": instance, "path": path}
            for bound, v in zip(bounds, counts.T, strict=True):
                add("latency_bucket", where | {"le": bound}, grid, v)
            add("latency_count", where, grid, counts[:, -1])
            add("latency_sum", where, grid, np.round(counts[:, -1] * 0.7, 3))
    for case, texts in {
        "no_inf": ["1", "2"], "only_inf": ["+Inf"], "twice": ["1", "1.0", "2", "Inf"],
        "bad": ["x", "1", "2", "+Inf"], "negative": ["-1", "0", "1", "+Inf"],
        "falling": ["1", "2", "3", "+Inf"], "zero": ["1", "+Inf"],
    }.items():  # fmt: skip
        for i, bound in enumerate(texts):
            v = np.arange(COUNT) * (i + 1.0)
            if case == "falling" and i == 1:
                v = v / 3
            if case == "zero":
                v = np.zeros(COUNT)
            keep = rng.random(COUNT) > (0.1 if case == "negative" else 0)
            if case == "negative" and i == 1:
                keep[60:140] = False
            add("edge_bucket", {"case": case, "le": bound}, grid[keep], v[keep])
    for value in ("plain", "with space", 'quote"d', "back\\slash", "line\nfeed", "ünïcode", "a.b"):
        add("text", {"value": value, "src": f"{value}-1"}, grid, np.full(COUNT, float(len(value))))
    add("rule:ratio", {"job": "api"}, grid, rng.random(COUNT))
    for n in range(40):
        labels = {"n": str(n), "shard": str(n % 5), "zone": "xyz"[n % 3]}
        add("many", labels, grid, rng.random(COUNT) * 10)
    return Data(start, int(grid[-1]), _by_labels(out, start - EVERY_MS))


def _by_labels(
    series: list[tuple[Labels, np.ndarray, np.ndarray]], before_ms: int
) -> list[tuple[Labels, np.ndarray, np.ndarray]]:
    """Sorted, each with a staleness marker before its first sample: so all series are made at
    once, in the order of labels. A Prometheus reads series in the order in which they were made,
    and adds in that order."""
    return [
        (labels, np.append(before_ms, t), np.append(STALE, v))
        for labels, t, v in sorted(series, key=lambda one: one[0].pairs)
    ]
