"""Answers written as text at once: the same JSON as built from objects."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barograph import Labels
from barograph.answer import Matrix, Scalar, String, Vector
from barograph.answer_text import data_of
from barograph_api.query_json import data_json

FLOATS = st.one_of(
    st.floats(width=64),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e21, 1e-7, 5e-324, 1e16, 2.0, 1e20]),
)
NAMES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=6)
TIMES = st.lists(st.integers(-(10**12), 2 * 10**12), min_size=1, max_size=5, unique=True)


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    shared = sorted(draw(TIMES))
    labels, times, values = [], [], []
    for i in range(draw(st.integers(0, 4))):
        t = shared if draw(st.booleans()) else sorted(draw(TIMES))
        labels.append(Labels.of(draw(NAMES), {draw(NAMES): draw(NAMES), "i": str(i)}))
        times.append(t)
        values.append(draw(st.lists(FLOATS, min_size=len(t), max_size=len(t))))
    offsets = np.cumsum([0, *map(len, times)])
    t_ms, flat = itertools.chain(*times), itertools.chain(*values)
    return Matrix(labels, offsets, np.array([*t_ms], np.int64), np.array([*flat], np.float64))


@given(matrices())
def test_a_matrix_is_written_as_its_objects_would_be(matrix: Matrix) -> None:
    assert json.loads(data_json(matrix)) == data_of(matrix)


@given(st.lists(FLOATS, max_size=5), st.integers(0, 2 * 10**12), NAMES)
def test_a_vector_is_written_as_its_objects_would_be(
    values: list[float], t_ms: int, name: str
) -> None:
    labels = [Labels.of(name, {"i": str(i)}) for i in range(len(values))]
    vector = Vector(t_ms, labels, np.array(values, np.float64))
    assert json.loads(data_json(vector)) == data_of(vector)


@given(FLOATS, NAMES)
def test_a_scalar_and_a_text_are_written_as_their_objects_would_be(value: float, text: str) -> None:
    for answer in (Scalar(1500, value), String(2000, text)):
        assert json.loads(data_json(answer)) == data_of(answer)
