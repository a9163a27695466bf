"""Plain Python and compiled code give the same bits; how much there is to do decides which runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from histories import daily, noise, times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barograph.detection import Watch
from barograph_anomaly import kernels
from barograph_anomaly.automatic.steps import RUN as AUTO
from barograph_anomaly.catalog import detectors
from barograph_anomaly.classic.steps import RUN as CLASSIC
from barograph_anomaly.kernels import AT_ONCE, IN_ALL, Kernel, piece

BOTH = (AUTO, CLASSIC)
DETECTORS = [one for one in detectors() if one.name != "multivariate"]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = [(run._compiled, run._run_plain) for run in BOTH]
    yield
    for run, (compiled, count) in zip(BOTH, before, strict=True):
        run._compiled, run._run_plain = compiled, count


def both_ways(detector: Any, t: Any, values: Any) -> tuple[Any, Any]:
    for run in BOTH:
        run._compiled, run._run_plain = None, -(2**40)
    plain = detector.score(t, values)
    assert all(run._compiled is None for run in BOTH)
    for run in BOTH:
        assert run.compiled is not run.plain
    return plain, detector.score(t, values)


def hard() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    counter = np.cumsum(rng.integers(0, 900, AT_ONCE)).astype(float)
    counter[200:] -= counter[200]
    holes = np.where(rng.random(AT_ONCE) < 0.3, np.nan, noise(AT_ONCE))
    return {
        "noise": noise(AT_ONCE), "day": daily(AT_ONCE), "counter": counter, "holes": holes,
        "zeros": np.zeros(AT_ONCE), "huge": noise(AT_ONCE) * 1e300, "tiny": noise(AT_ONCE) * 1e-300,
        "spikes": np.where(rng.random(AT_ONCE) < 0.02, 1e9, noise(AT_ONCE)),
        "infinities": np.where(rng.random(AT_ONCE) < 0.1, np.inf, noise(AT_ONCE)),
        "steps": np.repeat(rng.normal(0, 9, AT_ONCE // 50), 50),
    }  # fmt: skip


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
def test_plain_and_compiled_give_the_same_bits(detector: Any) -> None:
    for kind, values in hard().items():
        plain, compiled = both_ways(detector, times(AT_ONCE), values)
        assert np.array_equal(plain, compiled), kind


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from(
    [0.0, 1.0, -1.0]
)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(NUMBERS, max_size=40), steps=st.lists(st.integers(0, 10**9), max_size=40))
def test_any_numbers_give_the_same_bits(
    detector: Any, values: list[float], steps: list[int]
) -> None:
    n = min(len(values), len(steps))
    given = np.tile(np.array(values[:n]), 3)
    t = times(1)[0] + np.cumsum(np.tile(np.array(steps[:n], np.int64), 3))
    plain, compiled = both_ways(detector, t, given)
    assert np.array_equal(plain, compiled)


def test_a_state_may_go_from_one_way_to_the_other() -> None:
    values = noise(400, 9)
    values[250] += 90
    whole = both_ways(DETECTORS[0], times(400), values)[1]
    for run in BOTH:
        run._compiled, run._run_plain = None, 0
    watch = Watch(DETECTORS[0], 1)
    found = []
    for i, t in enumerate(times(400).tolist()):
        if i == 200:
            assert AUTO.compiled is not None
        found.append(float(watch.update(t, values[i : i + 1])[0]))
    assert found == whole.tolist()


# Which of them runs.


@piece
def doubled(x: float) -> float:
    return 2.0 * x


def fill(out: Any) -> None:
    for i in range(len(out)):
        out[i] = doubled(out[i])


def test_a_stream_of_few_series_is_never_compiled_and_much_work_is() -> None:
    kernel = Kernel(fill)
    out = np.ones(3)
    for _ in range(100):
        kernel(1, AT_ONCE, out[:1])
    assert kernel._compiled is None
    assert out[0] == 2.0**100
    kernel(1, AT_ONCE + 1, out[1:2])
    assert kernel._compiled is not None
    assert out.tolist() == [2.0**100, 2.0, 1.0]
    kernel(1, 1, out[2:])
    assert out[2] == 2.0


def test_many_short_histories_are_compiled_at_last() -> None:
    kernel = Kernel(fill)
    for _ in range(IN_ALL // AT_ONCE):
        kernel(AT_ONCE, 1, np.ones(1))
    assert kernel._compiled is None
    kernel(AT_ONCE, 1, np.ones(1))
    assert kernel._compiled is not None


WATCHED = """
import sys
import numpy as np
from barograph.detection import Watch
from barograph_anomaly.catalog import detectors
for one in detectors():
    watch = Watch(one, 200)
    for i in range(3):
        watch.update(i * 10_000, np.full(200, float(i)))
    print(one.name, "numba" in sys.modules)
"""


def test_watching_as_many_series_as_by_default_loads_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True,
                          check=True)  # fmt: skip
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines.pop("auto") == "False"
    assert set(lines.values()) == {"False"}, lines
    assert kernels.AT_ONCE >= 200
