"""Moving statistics against the fastest of bottleneck, numbagg, pandas and polars; streaming ticks.

Ours and each peer's take turns; speeds are values a second by CPU time of the process, the ratio is
to the fastest peer. Where no peer has a function, it is put together from the fastest parts that
peers have. float32 is measured for the functions that read it as it is. Peers get ``min_count=1``
like ours; polars gets null for NaN.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measuring import Figure, main, spending, tell

from barograph import rolling

try:
    import bottleneck as bn
    import numbagg
    import pandas as pd
    import polars as pl
except ImportError as error:
    tell(f"rolling: left out, a peer is missing ({error}); uv run --group bench nox -s bench")
    raise SystemExit(0) from None

WINDOWS = (60, 600, 3600)
Call = Callable[[], Any]
NARROW = {f"move_{name}" for name in ("sum", "mean", "std", "var", "min", "max")}
SLOW = 4000  # values for a peer that takes microseconds a value


def pairs_of(a: Any, window: int) -> Iterator[tuple[str, Call, dict[str, tuple[Call, int]]]]:
    """(function, our call, peers' calls with how many values they do)."""
    n = a.size
    b = np.roll(a[::-1], 7).copy()
    alpha = 2 / (window + 1)
    frame, other = pd.Series(a), pl.Series(a).fill_nan(None)
    pandas: Any = frame.rolling(window, min_periods=1)
    ewm: Any = frame.ewm(alpha=alpha, min_periods=1)

    for name in ("sum", "mean", "std", "var"):
        yield (
            f"move_{name}",
            lambda name=name: getattr(rolling, f"move_{name}")(a, window, 1),
            {
                "bottleneck": (lambda name=name: getattr(bn, f"move_{name}")(a, window, 1), n),
                "numbagg": (
                    lambda name=name: getattr(numbagg, f"move_{name}")(
                        a, window=window, min_count=1
                    ),
                    n,
                ),
                "pandas": (lambda name=name: getattr(pandas, name)(), n),
                "polars": (
                    lambda name=name: getattr(other, f"rolling_{name}")(window, min_samples=1),
                    n,
                ),
            },
        )
    for name in ("min", "max", "median"):
        yield (
            f"move_{name}",
            lambda name=name: getattr(rolling, f"move_{name}")(a, window, 1),
            {
                "bottleneck": (lambda name=name: getattr(bn, f"move_{name}")(a, window, 1), n),
                "pandas": (lambda name=name: getattr(pandas, name)(), n),
                "polars": (
                    lambda name=name: getattr(other, f"rolling_{name}")(window, min_samples=1),
                    n,
                ),
            },
        )
    for name in ("argmin", "argmax"):
        yield (
            f"move_{name}",
            lambda name=name: getattr(rolling, f"move_{name}")(a, window, 1),
            {"bottleneck": (lambda name=name: getattr(bn, f"move_{name}")(a, window, 1), n)},
        )
    yield (
        "move_quantile",
        lambda: rolling.move_quantile(a, window, 1, q=0.9),
        {
            "pandas": (lambda: pandas.quantile(0.9), n),
            "polars": (
                lambda: other.rolling_quantile(0.9, "linear", window_size=window, min_samples=1),
                n,
            ),
        },
    )
    yield (
        "move_iqr",
        lambda: rolling.move_iqr(a, window, 1),
        {
            "2 polars quantiles": (
                lambda: (
                    other.rolling_quantile(0.75, "linear", window_size=window, min_samples=1)
                    - other.rolling_quantile(0.25, "linear", window_size=window, min_samples=1)
                ),
                n,
            ),
            "2 pandas quantiles": (lambda: pandas.quantile(0.75) - pandas.quantile(0.25), n),
        },
    )
    some = pd.Series(a[: SLOW + window]).rolling(window, min_periods=1)
    yield (
        "move_mad",
        lambda: rolling.move_mad(a, window, 1),
        {
            "pandas apply(bottleneck)": (
                lambda: some.apply(lambda v: bn.nanmedian(np.abs(v - bn.nanmedian(v))), raw=True),
                SLOW + window,
            )
        },
    )
    ranks: dict[str, tuple[Call, int]] = {
        "pandas": (lambda: pandas.rank(), n),
        "polars": (lambda: other.rolling_rank(window, min_samples=1), n),
    }
    if window <= 60:
        ranks["bottleneck"] = (lambda: bn.move_rank(a, window, 1), n)
    yield "move_rank", lambda: rolling.move_rank(a, window, 1), ranks
    yield (
        "move_zscore",
        lambda: rolling.move_zscore(a, window, 1),
        {
            "bottleneck mean, std": (
                lambda: (a - bn.move_mean(a, window, 1)) / bn.move_std(a, window, 1),
                n,
            )
        },
    )
    index = np.arange(float(n))
    index[np.isnan(a)] = np.nan
    yield (
        "move_slope",
        lambda: rolling.move_slope(a, window, 1),
        {
            "numbagg cov / bottleneck var": (
                lambda: (
                    numbagg.move_cov(a, index, window=window, min_count=1)
                    / bn.move_var(index, window, 1, ddof=1)
                ),
                n,
            )
        },
    )
    for name, theirs in (("skew", "skew"), ("kurt", "kurtosis")):
        yield (
            f"move_{name}",
            lambda name=name: getattr(rolling, f"move_{name}")(a, window, 1),
            {
                "pandas": (lambda name=name: getattr(pandas, name)(), n),
                "polars": (
                    lambda theirs=theirs: getattr(other, f"rolling_{theirs}")(
                        window, min_samples=1
                    ),
                    n,
                ),
            },
        )
    for name in ("cov", "corr"):
        yield (
            f"move_{name}",
            lambda name=name: getattr(rolling, f"move_{name}")(a, b, window, 1),
            {
                "numbagg": (
                    lambda name=name: getattr(numbagg, f"move_{name}")(
                        a, b, window=window, min_count=1
                    ),
                    n,
                ),
                "pandas": (lambda name=name: getattr(pandas, name)(pd.Series(b)), n),
            },
        )
    for name in ("mean", "std"):
        yield (
            f"ewm_{name}",
            lambda name=name: getattr(rolling, f"ewm_{name}")(a, window),
            {
                "numbagg": (
                    lambda name=name: getattr(numbagg, f"move_exp_nan{name}")(a, alpha=alpha),
                    n,
                ),
                "pandas": (lambda name=name: getattr(ewm, name)(), n),
                "polars": (
                    lambda name=name: getattr(other, f"ewm_{name}")(alpha=alpha, min_samples=1),
                    n,
                ),
            },
        )


def speed(call: Call, n: int) -> float:
    # Once before: whoever comes after a call that gave its memory back would pay for getting it.
    call()
    with spending() as spent:
        call()
    return n / spent.cpu


def batch(n: int, rounds: int) -> list[Figure]:
    rng = np.random.default_rng(1)
    plain = rng.normal(size=n)
    gaps = plain.copy()
    gaps[rng.random(n) < 0.05] = np.nan
    figures = []
    kinds = {
        "": plain,
        ", 5 % NaN": gaps,
        ", float32": plain.astype(np.float32),
        ", float32, 5 % NaN": gaps.astype(np.float32),
    }
    for kind, a in kinds.items():
        for window in WINDOWS:
            tell(f"rolling: window {window}{kind}")
            for name, ours, peers in pairs_of(a, window):
                if a.dtype == np.float32 and name not in NARROW:
                    continue
                reached: list[float] = []
                others: dict[str, list[float]] = {peer: [] for peer in peers}
                for _ in range(rounds):
                    reached.append(speed(ours, n))
                    for peer, (call, size) in peers.items():
                        others[peer].append(speed(call, size))
                best = max(others, key=lambda peer: statistics.median(others[peer]))
                figures.append(
                    Figure(
                        f"{name}, window {window}{kind}",
                        "values/s",
                        reached,
                        "more",
                        peer=best,
                        peer_reached=others[best],
                        wanted_ratio=1.5,
                    )
                )
    return figures


def tick(state: Any, values: Any) -> None:
    state.update(values)
    for read in (state.mean, state.std, state.ewm_mean, state.min, state.max):
        read()
    state.median()
    state.mad()


def streaming(series: int, rounds: int) -> list[Figure]:
    rng = np.random.default_rng(2)
    pool = rng.normal(size=(101, series))
    figures = []
    for window in WINDOWS:
        tell(f"rolling: streaming, window {window}")
        state = rolling.MovingState(window, series, min_count=1)
        for i in range(window + 5):
            state.update(pool[i % 101])
        took = []
        tick(state, pool[0])
        for i in range(10 * rounds):
            with spending() as spent:
                tick(state, pool[i % 101])
            took.append(spent.cpu * 1e3)
        figures.append(
            Figure(
                f"a tick of {series:,} series, window {window}, all seven statistics",
                "ms",
                took,
                "less",
                3.0,
            )
        )
    return figures


def measure(quick: bool, rounds: int) -> list[Figure]:
    warnings.simplefilter("ignore")
    n = 100_000 if quick else 1_000_000
    return [*streaming(1000 if quick else 10_000, rounds), *batch(n, rounds)]


if __name__ == "__main__":
    main(measure, rounds=5)
