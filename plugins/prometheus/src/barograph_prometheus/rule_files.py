"""Files of recording rules: Prometheus's YAML, and TOML with the same keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli

from barograph.config.units import parse_duration
from barograph_prometheus.labelling import is_label_name, is_metric_name

MAX_FILE = 4 * 2**20
MAX_FILES = 1000
MAX_RULES = 10_000

_GROUP = {"name", "interval", "limit", "rules", "query_offset"}
_RECORD = {"record", "expr", "labels"}


class BadRules(ValueError):
    """Rule files cannot be used; the message has every mistake, a line each."""


@attrs.frozen
class Rule:
    """One recording rule."""

    record: str
    expr: str
    labels: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Group:
    """Rules that are evaluated one after another. ``limit``: series of one rule; 0: any number."""

    name: str
    file: str
    interval_s: float
    rules: tuple[Rule, ...]
    limit: int = 0
    offset_s: float = 0.0
    alerts: int = 0
    """Alerting rules in the group, which are for others to evaluate."""


def read_rules(
    patterns: Sequence[str], interval_s: float, check: Callable[[str], None]
) -> list[Group]:
    """The groups of all files, in order. ``check(expr)`` raises for what is no expression.

    Raises BadRules with all mistakes.
    """
    mistakes: list[str] = []
    found: dict[tuple[str, str], Group] = {}
    for path in _files(patterns, mistakes):
        reader = _Reader(str(path), interval_s, check, mistakes)
        for group in reader.groups(_tree(path, mistakes)):
            if (group.file, group.name) in found:
                mistakes.append(f"{path}: two groups are named {group.name!r}")
            found[group.file, group.name] = group
    if sum(len(group.rules) for group in found.values()) > MAX_RULES:
        mistakes.append(f"more than {MAX_RULES} rules")
    if mistakes:
        raise BadRules("\n".join(mistakes))
    return list(found.values())


def _files(patterns: Sequence[str], mistakes: list[str]) -> list[Path]:
    out: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        out += sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if len(out) > MAX_FILES:
        mistakes.append(f"more than {MAX_FILES} rule files")
        return []
    return list(dict.fromkeys(out))


def _tree(path: Path, mistakes: list[str]) -> Any:
    try:
        if path.stat().st_size > MAX_FILE:
            mistakes.append(f"{path}: over {MAX_FILE} bytes")
            return {}
        text = path.read_text("utf-8")
        return tomli.loads(text) if path.suffix == ".toml" else _yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        mistakes.append(f"{path}: {str(error).splitlines()[0][:200] if str(error) else error!r}")
        return {}


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except Exception as error:  # noqa: BLE001 — it raises what it likes for odd tags
        raise ValueError(f"not valid YAML: {error}") from None


class _Reader:
    """Reads the groups of one file and notes all mistakes."""

    def __init__(
        self, file: str, interval_s: float, check: Callable[[str], None], mistakes: list[str]
    ) -> None:
        self._file, self._interval_s = file, interval_s
        self._check, self._mistakes = check, mistakes

    def _mistake(self, where: str, what: str) -> None:
        self._mistakes.append(f"{self._file}: {where}{': ' if where else ''}{what}")

    def groups(self, tree: Any) -> list[Group]:
        if tree is None:
            return []
        if not isinstance(tree, dict) or set(tree) - {"groups"}:
            self._mistake("", 'the file has "groups" and nothing else')
            return []
        groups = [] if tree.get("groups") is None else tree["groups"]
        if not isinstance(groups, list):
            self._mistake("", '"groups" must be a list')
            return []
        return [group for n, one in enumerate(groups, 1) if (group := self._group(one, n))]

    def _group(self, given: Any, number: int) -> Group | None:
        where = f"group {number}"
        if not isinstance(given, dict):
            self._mistake(where, "must be a table")
            return None
        name = given.get("name")
        if not isinstance(name, str) or not name:
            self._mistake(where, 'it needs a "name"')
            return None
        where = f"group {json.dumps(name)}"
        for key in sorted(map(str, set(given) - _GROUP)):
            self._mistake(where, f"unknown key {key!r}; known: {', '.join(sorted(_GROUP))}")
        interval = self._duration(where, given, "interval", self._interval_s)
        offset = self._duration(where, given, "query_offset", 0.0)
        limit = given.get("limit", 0)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            self._mistake(where, '"limit" must be a number of series')
            limit = 0
        rules = [] if given.get("rules") is None else given["rules"]
        if not isinstance(rules, list):
            self._mistake(where, '"rules" must be a list')
            rules = []
        alerts = sum(isinstance(rule, dict) and "alert" in rule for rule in rules)
        read = [self._rule(rule, f"{where}, rule {n}") for n, rule in enumerate(rules, 1)]
        kept = tuple(rule for rule in read if rule is not None)
        return Group(name, self._file, interval, kept, limit, offset, alerts)

    def _duration(self, where: str, given: Any, key: str, default: float) -> float:
        if given.get(key) is None:
            return default
        try:
            seconds = float(parse_duration(given[key]))
        except ValueError as error:
            self._mistake(where, f'"{key}": {error}')
            return default
        if key == "interval" and seconds < 0.1:
            self._mistake(where, '"interval" must be at least 100ms')
            return default
        return seconds

    def _rule(self, given: Any, where: str) -> Rule | None:
        if not isinstance(given, dict):
            self._mistake(where, "must be a table")
            return None
        if "alert" in given and "record" not in given:
            return None
        before = len(self._mistakes)
        for key in sorted(map(str, set(given) - _RECORD)):
            self._mistake(where, f"unknown key {key!r}; known: {', '.join(sorted(_RECORD))}")
        record, expr, labels = given.get("record"), given.get("expr"), given.get("labels") or {}
        if not isinstance(record, str) or not is_metric_name(record):
            self._mistake(where, f'"record" must be a metric name, not {record!r:.60}')
        if not isinstance(expr, str | int | float) or isinstance(expr, bool):
            self._mistake(where, '"expr" must be an expression')
        else:
            try:
                self._check(str(expr))
            except Exception as error:  # noqa: BLE001 — an engine of any plugin; told with the rule
                self._mistake(where, f'"expr": {error}')
        if not isinstance(labels, dict):
            self._mistake(where, '"labels" must be a table')
            labels = {}
        for key, value in labels.items():
            if not isinstance(key, str) or not is_label_name(key) or key == "__name__":
                self._mistake(where, f"{key!r:.60} is no label name")
            elif not isinstance(value, str):
                self._mistake(where, f"the label {key} must be a text")
        if len(self._mistakes) > before:
            return None
        return Rule(str(record), str(expr), dict(labels))
