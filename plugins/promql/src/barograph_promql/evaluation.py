"""Evaluator: a plan over all steps at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from barograph.model import NAME, MatchOp
from barograph_promql import plan
from barograph_promql.aggregation import aggregate
from barograph_promql.catalogue import NATIVE_ONLY
from barograph_promql.elementwise import ARITHMETIC, COMPARE, DATES, MATHS, SCALED
from barograph_promql.histograms import histogram_quantile
from barograph_promql.labelling import label_join, label_replace, sorted_by_label, sorted_by_value
from barograph_promql.limits import Budget
from barograph_promql.matching import combine, operate
from barograph_promql.plan import Node
from barograph_promql.range_functions import RANGE_FUNCTIONS, apply
from barograph_promql.rolled import COLUMNS, LAST, WITH_RANGE, side_by_side
from barograph_promql.rows import (
    Bools,
    Floats,
    Ints,
    LabelSet,
    Rows,
    empty,
    nameless,
    unique,
    unique_per_step,
)
from barograph_promql.selection import Reader, Steps, Windows, dense, fresh, newest


class Evaluator:
    """Evaluates the nodes of one query.

    ``at`` is int64[T], rising and evenly spaced: the times of the steps; those of a subquery are
    its own. A scalar is float64[T], a vector ``Rows`` over T steps.
    """

    def __init__(
        self, reader: Reader, budget: Budget, steps: Steps, lookback_ms: int, subquery_ms: int,
        approximate: bool = False,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._budget = budget
        self._steps = steps
        self._lookback_ms = lookback_ms
        self._subquery_ms = subquery_ms
        self._approximate = approximate

    def vector(self, node: Node, at: Ints) -> Rows:
        """An instant vector."""
        self._budget.check()
        if isinstance(node, plan.Selector):
            return self._select(node, at)
        if isinstance(node, plan.Negate):
            rows = self.vector(node.expr, at)
            return unique(nameless(rows.valued(-rows.values)))
        if isinstance(node, plan.Aggregate):
            return self._aggregate(node, at)
        if isinstance(node, plan.Binary):
            return self._binary(node, at)
        assert isinstance(node, plan.Call), node
        return self._call(node, at)

    def scalar(self, node: Node, at: Ints) -> Floats:
        """float64[T]."""
        self._budget.check()
        if isinstance(node, plan.Number):
            return np.full(len(at), node.value)
        if isinstance(node, plan.Negate):
            return -self.scalar(node.expr, at)
        if isinstance(node, plan.Binary):
            return self._scalar_binary(node, at)
        assert isinstance(node, plan.Call), node
        if node.function == "time":
            return at / 1000
        if node.function == "pi":
            return np.full(len(at), np.pi)
        rows = self.vector(node.args[0], at)  # scalar()
        if not len(rows):
            return np.full(len(at), np.nan)
        alone = rows.there.sum(axis=0) == 1
        row = np.argmax(rows.there, axis=0)
        return np.where(alone, rows.values[row, np.arange(len(at))], np.nan)

    def matrix(self, node: Node, at: Ints) -> Windows:
        """A range vector."""
        self._budget.check()
        if isinstance(node, plan.RangeSelector):
            selector = node.selector
            end = self._times(selector.at, selector.offset_ms, at)
            start = end - node.range_ms
            asked = selector.matchers, int(start[0]), int(end[-1])
            if self._reader.aged(int(start[0])):
                found = self._reader.rolled(*asked, LAST).samples
            else:
                found = self._reader.samples(*asked)
            return Windows(fresh(found), start, end)
        assert isinstance(node, plan.Subquery), node
        end = self._times(node.at, node.offset_ms, at)
        start = end - node.range_ms
        step = node.step_ms or self._subquery_ms
        first = -(-int(start[0]) // step) * step
        self._budget.spend(max(int(end[-1]) - first, 0) // step + 1)
        inner = np.arange(first, int(end[-1]) + 1, step, dtype=np.int64)
        rows = self.vector(node.expr, inner) if len(inner) else empty(0)
        return Windows(dense(rows, inner), start, end)

    # --- selectors ------------------------------------------------------------------------------

    def _times(self, fixed: plan.At, offset_ms: int, at: Ints) -> Ints:
        """int64[T]: the times that a selector looks at."""
        if fixed is None:
            return at - offset_ms
        if fixed == "start":
            fixed = self._steps.start_ms
        elif fixed == "end":
            fixed = self._steps.end_ms
        return np.full(len(at), fixed - offset_ms)

    def _select(self, node: plan.Selector, at: Ints, *, times: bool = False) -> Rows:
        when = self._times(node.at, node.offset_ms, at)
        if self._reader.aged(int(when[0]) - self._lookback_ms):
            rolled = self._reader.rolled(
                node.matchers, int(when[0]) - self._lookback_ms, int(when[-1]), LAST,
                hold_ms=self._lookback_ms,
            )  # fmt: skip
            self._budget.spend(len(rolled.samples.labels) * len(at))
            return newest(rolled.samples, when, self._lookback_ms, times=times)
        found = self._reader.samples(node.matchers, int(when[0]) - self._lookback_ms, int(when[-1]))
        self._budget.spend(len(found.labels) * len(at))
        return newest(found, when, self._lookback_ms, times=times)

    # --- operators ------------------------------------------------------------------------------

    def _aggregate(self, node: plan.Aggregate, at: Ints) -> Rows:
        param: Floats | str | None = None
        if isinstance(node.param, plan.Text):
            param = node.param.value
        elif node.param is not None:
            param = self.scalar(node.param, at)
        rows = self.vector(node.expr, at)
        return unique_per_step(aggregate(node, rows, param, self._budget))

    def _binary(self, node: plan.Binary, at: Ints) -> Rows:
        # Down the left side in a loop: a chain of operators may be long.
        chain: list[plan.Binary] = []
        left: Node = node
        while isinstance(left, plan.Binary) and left.kind == "vector":
            chain.append(left)
            left = left.lhs
        value: Rows | Floats
        value = self.scalar(left, at) if left.kind == "scalar" else self.vector(left, at)
        for one in reversed(chain):
            self._budget.check()
            value = self._operate(one, value, at)
        assert isinstance(value, Rows)
        return value

    def _operate(self, node: plan.Binary, left: Rows | Floats, at: Ints) -> Rows:
        if node.rhs.kind == "scalar":
            assert isinstance(left, Rows)
            return self._with_scalar(node, left, self.scalar(node.rhs, at), swapped=False)
        right = self.vector(node.rhs, at)
        if not isinstance(left, Rows):
            return self._with_scalar(node, right, left, swapped=True)
        return combine(node, left, right, self._budget)

    def _with_scalar(self, node: plan.Binary, rows: Rows, scalar: Floats, *, swapped: bool) -> Rows:
        if not len(rows):
            return rows
        self._budget.spend(rows.values.size)
        row = np.broadcast_to(scalar, rows.values.shape)
        values, kept = operate(node, row, rows.values) if swapped else operate(
            node, rows.values, row
        )  # fmt: skip
        if kept is None:
            rows = rows.valued(values)
        else:
            rows = rows.masked(rows.there & kept)  # a comparison keeps the vector's value
        if plan.drops_name(node.op) or node.as_bool:
            rows = nameless(rows)
        return unique_per_step(rows)

    def _scalar_binary(self, node: plan.Binary, at: Ints) -> Floats:
        chain: list[plan.Binary] = []
        left: Node = node
        while isinstance(left, plan.Binary):
            chain.append(left)
            left = left.lhs
        value = self.scalar(left, at)
        for one in reversed(chain):
            right = self.scalar(one.rhs, at)
            with np.errstate(all="ignore"):
                if one.op in ARITHMETIC:
                    value = ARITHMETIC[one.op](value, right)
                else:
                    value = COMPARE[one.op](value, right).astype(np.float64)
        return value

    # --- functions ------------------------------------------------------------------------------

    def _call(self, node: plan.Call, at: Ints) -> Rows:
        name, args = node.function, node.args
        if name in RANGE_FUNCTIONS:
            return self._over_range(name, args, at)
        if name in MATHS or name in SCALED or name in DATES:
            return self._elementwise(name, args, at)
        if name == "vector":
            values = self.scalar(args[0], at)[None, :]
            return Rows([()], values, np.ones(values.shape, np.bool_))
        if name == "timestamp":
            return self._timestamp(args[0], at)
        if name == "absent":
            rows = self.vector(args[0], at)
            return self._absent(args[0], ~np.any(rows.there, axis=0))
        if name == "absent_over_time":
            found = self.matrix(args[0], at)
            return self._absent(args[0], ~found.filled())
        if name == "histogram_quantile":
            q = self.scalar(args[0], at)
            return histogram_quantile(q, self.vector(args[1], at), self._budget)
        return self._relabelled(name, args, at)

    def _over_range(self, name: str, args: Sequence[Node], at: Ints) -> Rows:
        place = RANGE_FUNCTIONS[name].matrix
        scalars = [self.scalar(arg, at) for i, arg in enumerate(args) if i != place]
        selector = args[place]
        if isinstance(selector, plan.RangeSelector):
            rows = self._over_rolled(name, selector, at, scalars)
            if rows is not None:
                return rows
        return apply(name, self.matrix(args[place], at), at, scalars, self._budget)

    def _over_rolled(
        self, name: str, node: plan.RangeSelector, at: Ints, scalars: list[Floats]
    ) -> Rows | None:
        """A function over windows of which some are rollups; ``None`` if none are to be."""
        end = self._times(node.selector.at, node.selector.offset_ms, at)
        level = self._level(name, node.range_ms, end)
        if not level and not self._reader.aged(int(end[0]) - node.range_ms):
            return None
        if name == "avg_over_time":
            total = self._rolled(("sum", "sum_over_time"), name, node, end, at, scalars, level)
            count = self._rolled(("count", "sum_over_time"), name, node, end, at, scalars, level)
            # Of the same windows: the rows are the same.
            with np.errstate(all="ignore"):
                return Rows(total.labels, total.values / count.values, total.there)
        use = COLUMNS.get(name, (LAST, name))
        return self._rolled(use, name, node, end, at, scalars, level)

    def _level(self, name: str, range_ms: int, end: Ints) -> int:
        """The level that may stand for raw samples that there are, 0 for none."""
        if not self._approximate or (name not in COLUMNS and name != "avg_over_time"):
            return 0
        step = int(end[1] - end[0]) if len(end) > 1 else range_ms
        enough = 2 if name in ("increase", "rate") else 1
        fits = [one for one in self._reader.levels if one <= step and enough * one <= range_ms]
        return max(fits, default=0)

    def _nested(self, name: str, range_ms: int, end: Ints) -> int:
        """The coarsest level whose windows all ranges are made of, 0 for none."""
        if name not in COLUMNS and name != "avg_over_time":
            return 0
        bounds = [range_ms, *end[:2].tolist()]  # the steps are even: so are all if these are
        enough = 2 if name in ("increase", "rate") else 1
        fits = [
            one for one in self._reader.levels
            if not any(bound % one for bound in bounds) and enough * one <= range_ms
        ]  # fmt: skip
        return max(fits, default=0)

    def _rolled(
        self, use: tuple[str, str], name: str, node: plan.RangeSelector, end: Ints, at: Ints,
        scalars: list[Floats], level: int,
    ) -> Rows:  # fmt: skip
        column, function = use
        first, last = int(end[0]) - node.range_ms, int(end[-1])
        found = self._reader.rolled(
            node.selector.matchers, first, last, column, level_ms=level,
            nested_ms=self._nested(name, node.range_ms, end),
        )  # fmt: skip
        samples = fresh(found.samples)
        # A range shorter than a window (than two, for what needs two samples) is widened to it.
        width = max(node.range_ms, RANGE_FUNCTIONS[function].needs * found.level_ms)
        old = (end - node.range_ms < self._reader.dropped_until) & (width > node.range_ms)
        parts = []
        for steps, range_ms in ((~old, node.range_ms), (old, width)):
            some = np.flatnonzero(steps)
            if not len(some):
                continue
            windows = Windows(samples, end[some] - range_ms, end[some])
            given = [scalar[some] for scalar in scalars]
            rows = apply(function, windows, at[some], given, self._budget)
            if name in WITH_RANGE and range_ms > node.range_ms:
                rows = rows.valued(rows.values * (node.range_ms / range_ms))
            parts.append((some, rows))
        return side_by_side(parts, len(at))

    def _elementwise(self, name: str, args: Sequence[Node], at: Ints) -> Rows:
        if args:
            rows = self.vector(args[0], at)
        else:  # a date without argument is now's
            rows = Rows([()], (at / 1000)[None, :], np.ones((1, len(at)), np.bool_))
        scalars = [self.scalar(arg, at) for arg in args[1:]]
        self._budget.spend(rows.values.size)
        with np.errstate(all="ignore"):
            if name in MATHS:
                values = MATHS[name](rows.values)
            elif name in DATES:
                values = DATES[name](rows.values).astype(np.float64)
            else:
                values = SCALED[name](rows.values, *scalars)
        rows = nameless(rows.valued(values))
        if name == "clamp":
            low, high = scalars
            rows = rows.masked(rows.there & ~(high < low))
        return unique_per_step(rows)

    def _timestamp(self, node: Node, at: Ints) -> Rows:
        if isinstance(node, plan.Selector):
            rows = self._select(node, at, times=True)
        else:
            rows = self.vector(node, at)
            rows = rows.valued(np.broadcast_to(at / 1000, rows.values.shape))
        return unique_per_step(nameless(rows))

    def _absent(self, node: Node, missing: Bools) -> Rows:
        labels = _equal_labels(node)
        return Rows([labels], np.ones((1, len(missing))), missing[None, :]).present()

    def _relabelled(self, name: str, args: Sequence[Node], at: Ints) -> Rows:
        texts = [arg.value for arg in args if isinstance(arg, plan.Text)]
        if name in NATIVE_ONLY:
            for arg in args:
                _ = self.scalar(arg, at) if arg.kind == "scalar" else self.vector(arg, at)
            return empty(len(at))
        rows = self.vector(args[0], at)
        if name == "label_replace":
            return unique_per_step(label_replace(rows, *texts))
        if name == "label_join":
            return unique_per_step(label_join(rows, texts[0], texts[1], texts[2:]))
        if name in ("sort", "sort_desc"):
            return sorted_by_value(rows, descending=name == "sort_desc")
        return sorted_by_label(rows, texts, descending=name == "sort_by_label_desc")


def _equal_labels(node: Node) -> LabelSet:
    """The labels that a selector fixes, which what is absent would have had."""
    if isinstance(node, plan.RangeSelector):
        node = node.selector
    if not isinstance(node, plan.Selector):
        return ()
    out: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in node.matchers:
        if matcher.label == NAME:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.label not in seen:
            out[matcher.label] = matcher.value
            seen.add(matcher.label)
        else:
            out.pop(matcher.label, None)
    return tuple(sorted(pair for pair in out.items() if pair[1]))
