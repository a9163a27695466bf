"""Parameters of the Prometheus HTTP API: texts to times, durations, limits and selectors."""

from __future__ import annotations

import re
from collections.abc import Callable

from barograph.answer import QueryInvalid
from barograph.answer_text import parse_step, parse_time
from barograph.model import Matcher, MatchOp
from barograph.query import parse_selector

Parameters = dict[str, list[str]]
"""All values of each parameter, those of the address and those of a form."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def first(given: Parameters, name: str) -> str:
    """The first value, "" if there is none."""
    return given.get(name, [""])[0]


def bad(parameter: str, reason: str) -> QueryInvalid:
    """The error that names a parameter."""
    return QueryInvalid(f'invalid parameter "{parameter}": {reason}')


def time_of(given: Parameters, name: str, default: int | None = None) -> int:
    """A time in ms. Raises QueryInvalid, also if there is neither it nor a default."""
    if default is not None and not first(given, name):
        return default
    return _parsed(given, name, parse_time)


def span_of(given: Parameters) -> tuple[int | None, int | None]:
    """``start`` and ``end`` in ms, ``None`` where open. Raises QueryInvalid."""
    start = _parsed(given, "start", parse_time) if first(given, "start") else None
    end = _parsed(given, "end", parse_time) if first(given, "end") else None
    return start, end


def step_of(given: Parameters, name: str = "step") -> int:
    """A duration in ms. Raises QueryInvalid."""
    return _parsed(given, name, parse_step)


def duration_of(given: Parameters, name: str) -> int | None:
    """A duration in ms, ``None`` if there is none. Raises QueryInvalid."""
    return step_of(given, name) if first(given, name) else None


def limit_of(given: Parameters) -> int:
    """At most so many; 0: all. Raises QueryInvalid."""
    text = first(given, "limit") or "0"
    if not re.fullmatch(r"\+?[0-9]{1,18}", text):
        raise bad("limit", "limit must be a non-negative number")
    return int(text)


def is_label_name(text: str) -> bool:
    """Whether a label can have this name."""
    return _LABEL.fullmatch(text) is not None


def selectors_of(given: Parameters) -> list[list[Matcher]]:
    """The matchers of each ``match[]``. Raises QueryInvalid."""
    return [_selector(text) for text in given.get("match[]", [])]


def _parsed(given: Parameters, name: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(first(given, name))
    except ValueError as error:
        raise bad(name, str(error)) from None


def _selector(text: str) -> list[Matcher]:
    try:
        matchers = parse_selector(text)
    except ValueError as error:
        raise bad("match[]", str(error)) from None
    empty = [_fits_empty(matcher) for matcher in matchers]  # each pattern is read
    if all(empty):
        raise bad("match[]", "match[] must contain at least one non-empty matcher")
    return matchers


def _fits_empty(matcher: Matcher) -> bool:
    """Whether a series that has no such label fits. Raises QueryInvalid for a bad pattern."""
    if matcher.op is MatchOp.EQUAL:
        return matcher.value == ""
    if matcher.op is MatchOp.NOT_EQUAL:
        return matcher.value != ""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        fits = re2.compile(matcher.value, options).fullmatch("") is not None
    except (re2.error, UnicodeError) as error:
        why = error.args[0] if error.args else ""
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(error)
        raise bad("match[]", f"error parsing regexp: {told} in `{matcher.value}`") from None
    return fits if matcher.op is MatchOp.REGEX else not fits
