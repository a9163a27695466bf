"""Watching a query: what each part of the plan gave and took, and what was read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from barograph.explanation import PlanNode, ReadStage
from barograph.model import NAME, Matcher, MatchOp
from barograph_promql import plan
from barograph_promql.evaluation import Evaluator
from barograph_promql.rows import Floats, Ints, Rows, quoted
from barograph_promql.selection import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trace:
    """What is noted of one query, in one thread."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.stages: dict[str, float] = {}
        self.reads: list[ReadStage] = []
        self.root = PlanNode("")
        self._open = [self.root]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's time to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.stages[name] = self.stages.get(name, 0.0) + spent

    @contextmanager
    def part(self, text: str) -> Iterator[PlanNode]:
        """A part of the plan below the one that is open."""
        node = PlanNode(text)
        self._open[-1].parts.append(node)
        self._open.append(node)
        began = time.perf_counter()
        try:
            yield node
        finally:
            node.seconds = time.perf_counter() - began
            self._open.pop()

    def seconds(self) -> dict[str, float]:
        """All stages in order."""
        select = sum(one.select_seconds for one in self.reads)
        read = sum(one.read_seconds for one in self.reads)
        took = self.stages
        return {
            "parse": took.get("parse", 0.0), "wait": took.get("wait", 0.0), "select": select,
            "read": read, "evaluate": max(took.get("evaluate", 0.0) - select - read, 0.0),
            "total": time.perf_counter() - self.began,
        }  # fmt: skip


class TracedEvaluator(Evaluator):
    """An evaluator that notes each node it evaluates."""

    trace: Trace

    def vector(self, node: plan.Node, at: Ints) -> Rows:
        with self.trace.part(described(node)) as noted:
            rows = super().vector(node, at)
            noted.series = len(rows)
        return rows

    def scalar(self, node: plan.Node, at: Ints) -> Floats:
        with self.trace.part(described(node)) as noted:
            noted.series = -1
            return super().scalar(node, at)

    def matrix(self, node: plan.Node, at: Ints) -> Windows:
        with self.trace.part(described(node)) as noted:
            windows = super().matrix(node, at)
            noted.series = len(windows.samples.labels)
        return windows


def described(node: plan.Node) -> str:
    """A node without what is below it."""
    if isinstance(node, plan.Number):
        return f"number {node.value:g}"
    if isinstance(node, plan.Text):
        return f"text {quoted(node.value)}"
    if isinstance(node, plan.Selector):
        return f"selector {selector_text(node.matchers)}{_shifted(node.offset_ms, node.at)}"
    if isinstance(node, plan.RangeSelector):
        one = node.selector
        range_text = f"[{duration_text(node.range_ms)}]"
        return f"range {selector_text(one.matchers)}{range_text}{_shifted(one.offset_ms, one.at)}"
    if isinstance(node, plan.Subquery):
        step = duration_text(node.step_ms) if node.step_ms else ""
        return (
            f"subquery [{duration_text(node.range_ms)}:{step}]{_shifted(node.offset_ms, node.at)}"
        )
    if isinstance(node, plan.Aggregate):
        word = "without" if node.without else "by"
        grouping = f" {word} ({', '.join(node.labels)})" if node.labels or node.without else ""
        return f"aggregate {node.op}{grouping}"
    if isinstance(node, plan.Binary):
        matching = node.matching
        on = f" {'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})"
        paired = on if matching.on or matching.labels else ""
        return f"operator {node.op}{' bool' if node.as_bool else ''}{paired}"
    if isinstance(node, plan.Negate):
        return "operator -"
    return f"function {node.function}"


def selector_text(matchers: Sequence[Matcher]) -> str:
    """A selector as PromQL writes it."""
    name, rest = "", []
    for one in matchers:
        if one.label == NAME and one.op is MatchOp.EQUAL and not name:
            name = one.value
        else:
            rest.append(f"{one.label}{one.op}{quoted(one.value)}")
    return f"{name}{{{', '.join(rest)}}}" if rest or not name else name


def duration_text(ms: int) -> str:
    """A duration as PromQL writes it."""
    out, rest = "", abs(ms)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        out += f"{count}{unit}" if count else ""
    return f"{'-' if ms < 0 else ''}{out or '0s'}"


def _shifted(offset_ms: int, at: plan.At) -> str:
    moment = "" if at is None else f" @ {f'{at}()' if isinstance(at, str) else at / 1000}"
    return moment + (f" offset {duration_text(offset_ms)}" if offset_ms else "")
