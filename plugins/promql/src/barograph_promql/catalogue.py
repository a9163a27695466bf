"""The functions there are, by how they are evaluated."""

from __future__ import annotations

from barograph_promql.elementwise import DATES, MATHS, SCALED
from barograph_promql.range_functions import RANGE_FUNCTIONS

SCALARS = frozenset(("pi", "scalar", "time"))
LABELLING = frozenset(("label_join", "label_replace"))
SORTING = frozenset(("sort", "sort_by_label", "sort_by_label_desc", "sort_desc"))
SPECIAL = frozenset(("absent", "absent_over_time", "histogram_quantile", "timestamp", "vector"))

# Of native histograms, which no store has: a sample that is a number gives nothing.
NATIVE_ONLY = frozenset(
    ("histogram_avg", "histogram_count", "histogram_fraction", "histogram_stddev",
     "histogram_stdvar", "histogram_sum")
)  # fmt: skip

FUNCTIONS = (
    SCALARS | LABELLING | SORTING | SPECIAL | NATIVE_ONLY
    | frozenset(MATHS) | frozenset(SCALED) | frozenset(DATES) | frozenset(RANGE_FUNCTIONS)
)  # fmt: skip
"""Functions with an evaluation here; others are refused by name."""
