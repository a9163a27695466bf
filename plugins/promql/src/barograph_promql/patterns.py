"""Regular expressions as PromQL has them (RE2), and matchers that use them.

RE2 matches in linear time, so that no pattern can hold the server. A pattern is anchored at both
ends, and its dot does not match a line feed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import re2

from barograph.answer import QueryInvalid
from barograph.model import Matcher, MatchOp

# What Python's `re` and RE2 read alike, in a form that neither takes long for: the store may
# look for it first.
_PLAIN = re.compile(r"[\w:/ |-]*(?:\.[*+])?[\w:/ |-]*(?:\.[*+])?[\w:/ |-]*", re.ASCII)

_GROUP = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


@functools.lru_cache(256)
def compiled(pattern: str) -> re2._Regexp:
    """``pattern``, anchored. Raises QueryInvalid."""
    options = re2.Options()
    options.log_errors = False
    # RE2's \C is one byte, which may be a part of a character; Prometheus refuses it.
    if re.search(r"(?<!\\)(?:\\\\)*\\C", pattern):
        raise QueryInvalid(f"error parsing regexp: invalid escape sequence: `\\C` in `{pattern}`")
    try:
        return re2.compile(f"^(?:{pattern})$", options)
    except (re2.error, UnicodeError) as error:
        why = error.args[0] if error.args else ""
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(error)
        raise QueryInvalid(f"error parsing regexp: {told} in `{pattern}`") from None


def matches_empty(matcher: Matcher) -> bool:
    """Whether a series without the label fits."""
    return _test(matcher)("")


def pushed_down(matchers: Sequence[Matcher]) -> list[Matcher]:
    """The matchers that a store may apply: it finds these series, or more."""
    return [
        m for m in matchers
        if m.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL)
        or (m.op is MatchOp.REGEX and _PLAIN.fullmatch(m.value))
    ]  # fmt: skip


def remaining(matchers: Sequence[Matcher]) -> list[tuple[str, Callable[[str], bool]]]:
    """Label and test of each matcher that a store cannot be trusted with."""
    return [
        (m.label, functools.lru_cache(4096)(_test(m)))
        for m in matchers
        if m.op in (MatchOp.REGEX, MatchOp.NOT_REGEX)
    ]


def _test(matcher: Matcher) -> Callable[[str], bool]:
    value = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda text: text == value
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda text: text != value
    pattern = compiled(value)
    if matcher.op is MatchOp.REGEX:
        return lambda text: pattern.match(text) is not None
    return lambda text: pattern.match(text) is None


def replaced(pattern: re2._Regexp, template: str, text: str) -> str | None:
    """``template`` with the groups of ``pattern`` in ``text``; ``None`` if it does not match.

    ``$1``, ``${1}``, ``$name`` and ``${name}`` are groups, empty where there is no such group;
    ``$$`` is a dollar. A name is as long as it can be: ``$1x`` is the group ``1x``.
    """
    match = pattern.match(text)
    if match is None:
        return None

    def group(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name = found[1] or found[2]
        if name.isdigit():
            number = int(name)
            return (match[number] or "") if number <= pattern.groups else ""
        return (match[name] or "") if name in pattern.groupindex else ""

    return _GROUP.sub(group, template)
