"""Series to feed kernels and their twins with: short, with gaps, ties, jumps and large offsets."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


@st.composite
def rows(draw: st.DrawFn, least: int = 1, most: int = 70) -> Any:
    """float64[n] around an offset, sometimes with NaN, few distinct values, a jump, or flat."""
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "ties", "flat", "jump", "outlier", "walk", "heavy"]))
    x = rng.normal(size=n)
    if kind == "ties":
        x = rng.integers(0, 3, n).astype(np.float64)
    elif kind == "flat":
        x = np.full(n, 0.1)
    elif kind == "jump":
        x[n // 2 :] += 1e9
    elif kind == "outlier":
        x[n // 3] = -1e7
    elif kind == "walk":
        x = np.cumsum(x)
    elif kind == "heavy":
        x = np.exp(5 * x)
    x = x + draw(st.sampled_from([0.0, 0.0, 100.0, -1e9]))
    x[rng.random(n) < draw(st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.95]))] = np.nan
    return x


@st.composite
def rows_and_windows(draw: st.DrawFn) -> Any:
    """(row, window, min_count) with 1 <= min_count <= window <= n."""
    x = draw(rows())
    window = draw(st.integers(1, len(x)))
    return x, window, draw(st.integers(1, window))


@st.composite
def long_rows(draw: st.DrawFn) -> Any:
    """(row, window, min_count): long enough for stretches by differences, with what spoils them."""
    window = draw(st.integers(14, 70))
    n = draw(st.integers(600, 1500))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=n)
    at = draw(st.integers(0, n - 1))
    kind = draw(
        st.sampled_from(
            ["noise", "ties", "flat", "jump", "outlier", "gap", "first missing", "heavy"]
        )
    )
    if kind == "ties":
        x = rng.integers(0, 3, n).astype(np.float64)
    elif kind == "flat":
        x[at : at + 200] = 0.1
    elif kind == "jump":
        x[at:] += 1e9
    elif kind == "outlier":
        x[at] = draw(st.sampled_from([1e4, -1e9, 1e15]))
    elif kind == "gap":
        x[at : at + 200] = np.nan
    elif kind == "first missing":
        x[:at] = np.nan
    elif kind == "heavy":
        x = np.exp(5 * x)
    x = x + draw(st.sampled_from([0.0, 100.0, -1e9]))
    x[rng.random(n) < draw(st.sampled_from([0.0, 0.0, 0.002, 0.1, 0.9]))] = np.nan
    return x, window, draw(st.sampled_from([1, 2, window]))


@st.composite
def times_for(draw: st.DrawFn, n: int) -> Any:
    """int64[n] that never falls, with bursts, equal times and gaps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = rng.integers(0, 4, n) * draw(st.sampled_from([1, 1000]))
    steps[rng.random(n) < 0.05] *= 100
    return np.cumsum(steps) + 1_700_000_000_000
