"""PromqlEngine: the contract ``barograph.contracts.QueryEngine``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from barograph.answer import Answer, Matrix, QueryInvalid, Scalar, String, Vector
from barograph.clock import Clock, SystemClock
from barograph.contracts import Store
from barograph.explanation import Explanation
from barograph.model import Labels
from barograph_promql import plan
from barograph_promql.evaluation import Evaluator
from barograph_promql.formatting import formatted
from barograph_promql.labelsets import LabelBook
from barograph_promql.limits import Budget
from barograph_promql.parsing import parse
from barograph_promql.rows import Rows, Samples, unique_per_step
from barograph_promql.selection import Reader, Steps, Windows, dense

if TYPE_CHECKING:
    from barograph_promql import Config
    from barograph_promql.explaining import Trace

MAX_TIME_MS = 2**53
"""Times are refused beyond this, where milliseconds are no longer exact as a float."""


class PromqlEngine:
    """Evaluates PromQL as Prometheus 2.42 does. Holds no samples; one may serve many threads."""

    name = "promql"

    def __init__(self, config: Config | None = None, clock: Clock | None = None) -> None:
        from barograph_promql import Config as Options

        self.config = config or Options()
        self._clock = clock or SystemClock()
        self._book = LabelBook()
        self._places = threading.BoundedSemaphore(self.config.concurrency)

    def check(self, expr: str) -> None:
        """Raises QueryInvalid with what is wrong."""
        parse(expr)

    def format(self, expr: str) -> str:
        """``expr`` as Prometheus lays it out. Raises QueryInvalid."""
        return formatted(expr)

    def instant(
        self, store: Store, expr: str, t_ms: int, *, cancelled: Callable[[], bool] | None = None
    ) -> Answer:
        """The value of ``expr`` at ``t_ms``; of a range vector its samples."""
        return self._instant(store, expr, t_ms, cancelled, None)

    def _instant(
        self, store: Store, expr: str, t_ms: int, cancelled: Callable[[], bool] | None,
        trace: Trace | None,
    ) -> Answer:  # fmt: skip
        with _stage(trace, "parse"):
            node = parse(expr)
        _check_time(t_ms)
        if isinstance(node, plan.Text):
            return String(t_ms, node.value)
        budget = self._budget(cancelled)
        with self._turn(budget, trace), _stage(trace, "evaluate"):
            evaluator = self._evaluator(store, Steps(t_ms, t_ms), budget, trace)
            at = np.array([t_ms], np.int64)
            if node.kind == "scalar":
                return Scalar(t_ms, float(evaluator.scalar(node, at)[0]))
            if node.kind == "matrix":
                return _matrix(_within(evaluator.matrix(node, at)))
            rows = evaluator.vector(node, at).present()
        return Vector(t_ms, [Labels(one) for one in rows.labels], rows.values[:, 0].copy())

    def range(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Matrix:  # fmt: skip
        """The values of ``expr`` at start, start + step, ... up to end (inclusive)."""
        return self._range(store, expr, start_ms, end_ms, step_ms, cancelled, None)

    def explain(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Explanation:  # fmt: skip
        """Evaluate over the range (``step_ms`` 0: at ``end_ms`` only), and tell what that did."""
        from barograph_promql.explaining import Trace

        trace = Trace()
        answer: Answer
        if step_ms == 0:
            answer = self._instant(store, expr, end_ms, cancelled, trace)
        else:
            answer = self._range(store, expr, start_ms, end_ms, step_ms, cancelled, trace)
        node = trace.root.parts[0] if trace.root.parts else trace.root
        return Explanation(
            expr, start_ms, end_ms, step_ms, answer, node, trace.reads, trace.seconds()
        )

    def _range(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int,
        cancelled: Callable[[], bool] | None, trace: Trace | None,
    ) -> Matrix:  # fmt: skip
        with _stage(trace, "parse"):
            node = parse(expr)
        for t_ms in (start_ms, end_ms):
            _check_time(t_ms)
        if step_ms <= 0:
            raise QueryInvalid("the step must be greater than 0")
        if end_ms < start_ms:
            raise QueryInvalid("the end of the range must not be before its start")
        if node.kind not in ("vector", "scalar"):
            kind = {"matrix": "range vector", "string": "string"}[node.kind]
            raise QueryInvalid(
                f'invalid expression type "{kind}" for range query, must be Scalar or instant '
                "Vector"
            )
        budget = self._budget(cancelled)
        budget.spend((end_ms - start_ms) // step_ms + 1)
        at = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        with self._turn(budget, trace), _stage(trace, "evaluate"):
            evaluator = self._evaluator(store, Steps(start_ms, end_ms), budget, trace)
            if node.kind == "scalar":
                values = evaluator.scalar(node, at)[None, :]
                rows = Rows([()], values, np.ones(values.shape, np.bool_))
            else:
                rows = unique_per_step(evaluator.vector(node, at)).present()
            order = sorted(range(len(rows)), key=rows.labels.__getitem__)
            return _matrix(dense(rows.take(np.array(order, np.int64)), at))

    def _budget(self, cancelled: Callable[[], bool] | None) -> Budget:
        config = self.config
        return Budget(
            self._clock, float(config.timeout), config.max_samples, config.max_series, cancelled
        )

    @contextmanager
    def _turn(self, budget: Budget, trace: Trace | None) -> Iterator[None]:
        with ExitStack() as stack:
            with _stage(trace, "wait"):
                stack.enter_context(budget.turn(self._places))
            yield

    def _evaluator(
        self, store: Store, steps: Steps, budget: Budget, trace: Trace | None
    ) -> Evaluator:
        lookback, subquery = self.config.lookback, self.config.subquery_step
        reader = Reader(store, budget, self._book, trace)
        given = reader, budget, steps, round(lookback * 1000), round(subquery * 1000)
        approximate = self.config.approximate
        if trace is None:
            return Evaluator(*given, approximate)
        from barograph_promql.explaining import TracedEvaluator

        traced = TracedEvaluator(*given, approximate)
        traced.trace = trace
        return traced


def _stage(trace: Trace | None, name: str) -> AbstractContextManager[None]:
    return nullcontext() if trace is None else trace.stage(name)


def _check_time(t_ms: int) -> None:
    if abs(t_ms) > MAX_TIME_MS:
        raise QueryInvalid(f"the time {t_ms} ms is out of range")


def _within(windows: Windows) -> Samples:
    """The samples of the only step's windows, series without any left out, by labels."""
    samples = windows.samples
    if not samples.labels:
        return samples
    low, high = (place[:, 0] for place in windows.places(0, len(samples.labels)))
    order = sorted(np.flatnonzero(high > low).tolist(), key=samples.labels.__getitem__)
    lengths = (high - low)[order]
    offsets = np.zeros(len(order) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    at = np.arange(offsets[-1]) + np.repeat(low[order] - offsets[:-1], lengths)
    return Samples(
        [samples.labels[i] for i in order], offsets, samples.t_ms[at], samples.values[at]
    )


def _matrix(samples: Samples) -> Matrix:
    labels = [Labels(one) for one in samples.labels]
    return Matrix(labels, samples.offsets, samples.t_ms, samples.values)
