"""Expressions and selectors as the parser library can read them.

The library parses and checks types. Before it sees the text: what nests too deep is refused, for
its parser recurses, and a thread's stack is finite. Regular expressions, which it reads with
another engine than RE2, and times after ``@``, of which it keeps only those after 1970, are
replaced by stand-ins, which are put back into what it has read. Raw strings, in which it looks for
escapes, are quoted; escaped bytes, which it takes for characters, are decoded; numbers are written
the way it reads them.
"""

from __future__ import annotations

import math
import re

import attrs

from barograph.answer import QueryInvalid

MAX_LENGTH = 65_536
"""Characters of an expression."""

MAX_NESTING = 1000
"""Operators and brackets of an expression; the parser's stack holds some four times as many."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<regex>=~|!~)
    |(?P<at>@(?:\s|\#[^\n]*\n)*(?P<time>[+-]?\s*(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?
        |nan\b|inf\b))(?![\w.:]))
    |(?P<bound>@(?:\s|\#[^\n]*\n)*(?:start|end)\b)
    |(?P<nesting>[(\[{]|[-+*/%^<>]|[=!]=?|\b(?:and|or|unless|atan2|offset|bool)\b)
    |(?P<number>(?:(?:\d+\.?\d*|\.\d+)e[+-]?\d+|\d{19,})(?![\w.]))
    |(?P<word>[\w:.]+)
    |(?P<space>\s+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII | re.IGNORECASE,
)
_BYTES = re.compile(r"(?:\\(?:x[0-9a-fA-F]{2}|[0-3][0-7]{2}))+|\\.", re.DOTALL)
_STAND_IN = {"=~": "barograph.{0}|.+", "!~": "barograph.{0}|.*"}
"""Neither lets a series without the label pass: whether it may is not the library's to say."""
_MAX_TIME_S = 2.0**63


@attrs.frozen
class Masked:
    """What was given; the text for the library, and the meanings of its stand-ins:
    ``"barograph.0|.+"`` (``.*``) is the first of ``patterns``, ``@ 0`` of ``times`` (ms)."""

    given: str
    text: str
    patterns: list[str]
    times: list[int]

    def pattern(self, value: str) -> str:
        """The regular expression that ``value``, of a matcher that was read, stands for."""
        return self.patterns[int(value.removeprefix("barograph.").partition("|")[0])]


def mask(text: str) -> Masked:
    """The text as the library can read it. Raises QueryInvalid if it is too much for that."""
    if len(text) > MAX_LENGTH:
        raise QueryInvalid(f"the expression has more than {MAX_LENGTH:,} characters")
    out: list[str] = []
    patterns: list[str] = []
    times: list[int] = []
    nesting = 0
    after_regex = ""
    for token in _TOKEN.finditer(text):
        kind, part = token.lastgroup, token[0]
        if kind == "string":
            part = quoted(part[1:-1]) if part.startswith("`") else _BYTES.sub(_characters, part)
        if token["at"] is not None:
            times.append(_time(re.sub(r"\s", "", token["time"])))
            part = f"@ {len(times) - 1}"
        elif kind == "string" and after_regex:
            patterns.append(_unquoted(part))
            part = f'"{_STAND_IN[after_regex].format(len(patterns) - 1)}"'
        elif kind == "nesting":
            nesting += 1
        elif kind == "number":
            part = _number(part)
        elif part == "@":
            raise QueryInvalid("parse error: expected a time in seconds, start() or end() after @")
        if kind not in ("space", "comment"):
            after_regex = part if kind == "regex" else ""
        out.append(part)
    if nesting > MAX_NESTING:
        raise QueryInvalid(f"the expression has more than {MAX_NESTING:,} operators and brackets")
    return Masked(text, "".join(out), patterns, times)


def quoted(text: str) -> str:
    """``text`` as a literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unquoted(literal: str) -> str:
    import promql_parser  # heavy: only when an expression is parsed

    try:
        tree = promql_parser.parse(literal)
        assert isinstance(tree, promql_parser.StringLiteral), literal
        return str(tree.val)
    except ValueError as error:
        raise QueryInvalid(f"parse error: {error}") from None


def _characters(escapes: re.Match[str]) -> str:
    """``\\xNN`` and ``\\NNN`` are bytes of UTF-8, U+FFFD where they make no character; other
    escapes stay as they are."""
    text = escapes[0]
    if len(text) == 2:  # one escaped character
        return text
    found = bytes(
        int(part[1:], 16) if part[0] == "x" else int(part, 8) for part in text[1:].split("\\")
    )
    return "".join(f"\\U{ord(c):08x}" for c in found.decode("utf-8", "replace"))


def _number(text: str) -> str:
    """A long number, or one with an exponent, as the library reads it: without zeros in front."""
    if text.isdigit() and _is_whole(text):
        return text
    value = float(text)
    if math.isinf(value):
        raise QueryInvalid(f"parse error: error parsing number: {text}: value out of range")
    return repr(value)


def _is_whole(digits: str) -> bool:
    """Whether a number fits into 64 bits; a 0 in front makes it octal."""
    octal = digits.startswith("0")
    return not (octal and set(digits) & set("89")) and int(digits, 8 if octal else 10) < 2**63


def _time(text: str) -> int:
    """Seconds as written after ``@``, in ms."""
    digits = text.lstrip("+-")
    seconds = float(int(digits, 16)) if digits[:2] in ("0x", "0X") else float(digits)
    if text.startswith("-"):
        seconds = -seconds
    if not abs(seconds) < _MAX_TIME_S:
        raise QueryInvalid(f"parse error: timestamp out of bounds for @ modifier: {seconds}")
    ms = math.copysign(math.floor(abs(seconds) * 1000 + 0.5), seconds)
    return max(-(2**62), min(2**62, int(ms)))
