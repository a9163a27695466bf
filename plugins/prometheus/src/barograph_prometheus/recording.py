"""Recording rules: groups evaluated at their intervals, rules in order, results stored."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import attrs
import numpy as np

from barograph.answer import Answer, QueryError, Scalar, Vector
from barograph.contracts import QueryEngine, Request, Response, StoreError
from barograph.model import NAME, STALE_NAN, Batch, Labels
from barograph_prometheus.labelling import metric_of
from barograph_prometheus.rule_files import BadRules, Group, Rule, read_rules

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.monitor import PerformanceMonitor


_RUNNING: WeakKeyDictionary[PerformanceMonitor, Recorder] = WeakKeyDictionary()


def told_rules(request: Request) -> Response:
    """GET /api/v1/rules: groups and rules as the Prometheus HTTP API tells them."""
    kind = (request.query.get("type") or [""])[0].lower()
    body: dict[str, Any]
    if kind not in ("", "alert", "record"):
        told = f'invalid parameter "type": not supported value "{kind}"'
        body = {"status": "error", "errorType": "bad_data", "error": told}
        return Response(json.dumps(body).encode(), "application/json", 400)
    recorder = _RUNNING.get(request.monitor)
    groups = [] if recorder is None else [loop.told(kind != "alert") for loop in recorder.loops]
    body = {"status": "success", "data": {"groups": groups}}
    return Response(json.dumps(body).encode(), "application/json")


class RuleFailed(Exception):
    """A rule has no result that can be stored; the message says why."""


@attrs.frozen
class Evaluated:
    """How a rule did at ``t_ms`` (0: it was not evaluated yet)."""

    t_ms: int = 0
    took_s: float = 0.0
    error: str = ""

    def told(self) -> dict[str, Any]:
        health = "err" if self.error else "ok" if self.t_ms else "unknown"
        return {
            "health": health, "lastError": self.error, "evaluationTime": self.took_s,
            "lastEvaluation": _moment(self.t_ms),
        }  # fmt: skip


class Recorder:
    """A thread for each group of rules. A lifecycle object."""

    name = "prometheus-rules"

    def __init__(self, files: Sequence[str], interval_s: float, engine: str) -> None:
        self._files, self._interval_s, self._engine = tuple(files), interval_s, engine
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.loops: list[GroupLoop] = []

    def start(self, monitor: PerformanceMonitor) -> None:
        """Raises BadRules with every mistake in the files."""
        engines = [one for _, one in monitor.plugins.call("barograph_query_engines")]
        engine = next((one for one in engines if one.name == self._engine), None)
        if engine is None:
            names = ", ".join(sorted(one.name for one in engines)) or "none"
            raise BadRules(f'no query engine is named "{self._engine}"; installed: {names}')
        groups = read_rules(self._files, self._interval_s, engine.check)
        monitor.meter.gauge(
            "barograph_rules_alerts_ignored", "Alerting rules in the files of recording rules"
        ).set(sum(group.alerts for group in groups))
        self._stop = threading.Event()
        self.loops = [
            GroupLoop(group, engine, monitor, self._stop) for group in groups if group.rules
        ]
        self._threads = [
            threading.Thread(target=loop.run, name="barograph-rules", daemon=True)
            for loop in self.loops
        ]
        _RUNNING[monitor] = self
        for thread in self._threads:
            thread.start()

    def stop(self, deadline_s: float) -> None:
        """End all groups; one in the midst of a query is left behind (threads are daemons)."""
        self._stop.set()
        until = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


class GroupLoop:
    """One group's evaluations."""

    def __init__(
        self, group: Group, engine: QueryEngine, monitor: PerformanceMonitor, stop: threading.Event
    ) -> None:
        self._group, self._engine, self._monitor, self._stop = group, engine, monitor, stop
        self._before: dict[int, dict[Labels, int]] = {}  # results of the last time, by rule
        self.error = ""
        self._last: dict[int, Evaluated] = {}  # by rule
        self._took_s = 0.0
        meter, name = monitor.meter, group.name
        self._count = meter.counter("barograph_rule_evaluations_total", "Evaluations of rules",
                                    group=name)  # fmt: skip
        self._failed = meter.counter("barograph_rule_failures_total",
                                     "Evaluations of rules that failed", group=name)  # fmt: skip
        self._missed = meter.counter("barograph_rule_missed_total",
                                     "Times that were left out: the one before took too long",
                                     group=name)  # fmt: skip
        self._took = meter.gauge("barograph_rule_duration_seconds",
                                 "Time of a group's last evaluation", "seconds",
                                 group=name)  # fmt: skip

    def run(self) -> None:
        """Evaluate at times that are this group's, until the end."""
        clock = self._monitor.clock
        step = max(1, round(self._group.interval_s * 1000))
        digest = hashlib.blake2b(f"{self._group.file};{self._group.name}".encode(), digest_size=8)
        offset = int.from_bytes(digest.digest()) % step
        due = (clock.now_ms() - offset) // step * step + step + offset
        while not clock.wait(self._stop, (due - clock.now_ms()) / 1000):
            self.evaluate(due)
            after = (clock.now_ms() - offset) // step * step + step + offset
            left_out = (after - due) // step - 1
            if left_out > 0:
                self._missed.add(left_out)
            due = after

    def evaluate(self, t_ms: int) -> None:
        """All rules in order, each over what those before it have stored."""
        clock = self._monitor.clock
        began = clock.monotonic()
        for number, rule in enumerate(self._group.rules):
            if self._stop.is_set():
                return
            self._count.add()
            asked, wrong = clock.monotonic(), ""
            try:
                self._evaluate(number, rule, t_ms)
            except (QueryError, RuleFailed, StoreError) as error:
                wrong = str(error)
            except Exception as error:  # noqa: BLE001 — an engine of any plugin; told and counted
                wrong = f"{type(error).__name__}: {error}"
            if wrong:
                self.error = f"{rule.record}: {wrong}"
                self._failed.add()
            self._last[number] = Evaluated(t_ms, clock.monotonic() - asked, wrong)
        self._took_s = clock.monotonic() - began
        self._took.set(self._took_s)

    def told(self, with_rules: bool) -> dict[str, Any]:
        """The group as the HTTP API of Prometheus tells it, ``with_rules`` or without."""
        group = self._group
        rules = [
            {
                "name": rule.record, "query": rule.expr, "labels": dict(rule.labels),
                "type": "recording", **self._last.get(number, Evaluated()).told(),
            }
            for number, rule in enumerate(group.rules) if with_rules
        ]  # fmt: skip
        last = max((one.t_ms for one in self._last.values()), default=0)
        return {
            "name": group.name, "file": group.file, "interval": group.interval_s,
            "limit": group.limit, "rules": rules, "evaluationTime": self._took_s,
            "lastEvaluation": _moment(last),
        }  # fmt: skip

    def _evaluate(self, number: int, rule: Rule, t_ms: int) -> None:
        at = t_ms - round(self._group.offset_s * 1000)
        store = self._monitor.store
        answer = self._engine.instant(store, rule.expr, at, cancelled=self._stop.is_set)
        labels, values = results(rule, answer)
        limit = self._group.limit
        if limit and len(labels) > limit:
            raise RuleFailed(f"{len(labels)} series; at most {limit} (limit of the group)")
        before = self._before.get(number, {})
        known = {one: before[one] for one in labels if one in before}
        new = [one for one in labels if one not in known]
        if new:
            metric = metric_of(rule.record, "gauge", f"Recorded: {rule.expr[:200]}")
            refs = store.intern([(one, metric) for one in new])
            known.update(zip(new, refs.tolist(), strict=True))
        gone = [ref for one, ref in before.items() if one not in known]
        refs = np.array([known[one] for one in labels] + gone, np.int64)
        stored = np.concatenate([values, np.full(len(gone), STALE_NAN)])
        if len(refs):
            self._monitor.ingest([Batch(refs, at, stored)])
        self._before[number] = known


def _moment(t_ms: int) -> str:
    """RFC 3339; Go's zero time for 0."""
    if not t_ms:
        return "0001-01-01T00:00:00Z"
    moment = datetime.fromtimestamp(t_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def results(rule: Rule, answer: Answer) -> tuple[list[Labels], NDArray[np.float64]]:
    """Series and values that a rule records. Raises RuleFailed."""
    if isinstance(answer, Scalar):
        return [_recorded(rule, {})], np.array([answer.value], np.float64)
    if not isinstance(answer, Vector):
        raise RuleFailed("its result is neither a vector nor a scalar")
    labels = [_recorded(rule, one.without_name()) for one in answer.labels]
    if len(set(labels)) != len(labels):
        raise RuleFailed("two series of its result have the same labels with those of the rule")
    return labels, np.asarray(answer.values, np.float64)


def _recorded(rule: Rule, labels: Mapping[str, str]) -> Labels:
    whole = {**labels, **rule.labels}
    return Labels.of(rule.record, {k: v for k, v in whole.items() if k != NAME})
