"""Prometheus's text format 0.0.4 and OpenMetrics 1.0, read.

A sample is told by its *key*, the text of its name and labels: who reads the same target again
looks keys up, and parses labels only of what is new.
"""

from __future__ import annotations

import re

import attrs

from barograph_prometheus.wire import Metadata

# Possessive: no line can make the matching slow.
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_BLOCK = r'\{[^"}]*+(?:"(?:[^"\\]|\\.)*+"[^"}]*+)*+\}'
_NUMBER = r"[0-9A-Za-z+.\-]++"

_TEXT = re.compile(
    rf"[ \t]*+({_NAME}(?=[ \t{{])[ \t]*+(?:{_BLOCK})?+)[ \t]*+({_NUMBER})"
    r"(?:[ \t]++(-?[0-9]{1,18}+))?+[ \t]*+"
)
_OPEN = re.compile(
    rf"({_NAME}(?=[ {{])(?:{_BLOCK})?+) ({_NUMBER})(?: (-?[0-9.eE+\-]++))?+"
    rf"( # {_BLOCK} {_NUMBER}(?: [0-9.eE+\-]++)?+)?+"
)
_META = re.compile(rf"#[ \t]++(HELP|TYPE|UNIT)[ \t]++({_NAME})(?:[ \t]++(.*+))?+")
_LABEL = re.compile(r'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"[ \t]*+')
_ESCAPE = re.compile(r'\\([\\"n])')
_PLAIN = re.compile(r"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+")
_SPECIAL = {
    "nan": float("nan"), "inf": float("inf"), "+inf": float("inf"), "-inf": float("-inf"),
    "infinity": float("inf"), "+infinity": float("inf"), "-infinity": float("-inf"),
    "+nan": float("nan"), "-nan": float("nan"),
}  # fmt: skip

OPENMETRICS = "application/openmetrics-text"

_TYPES = frozenset({"counter", "gauge", "histogram", "gaugehistogram", "summary", "info",
                    "stateset", "unknown", "untyped"})  # fmt: skip


class BadExposition(ValueError):
    """A text is not in its format; the message names the line."""


@attrs.define
class Exposition:
    """What a target says: parallel lists of keys, values, and own times in ms (None: none)."""

    keys: list[str] = attrs.field(factory=list)
    values: list[float] = attrs.field(factory=list)
    times: list[int | None] = attrs.field(factory=list)
    families: dict[str, Metadata] = attrs.field(factory=dict)
    exemplars: int = 0

    def describe(self, word: str, name: str, text: str) -> None:
        """Take in a line of metadata."""
        known = self.families.get(name, Metadata(name, "unknown"))
        if word == "TYPE":
            known = attrs.evolve(known, type="unknown" if text == "untyped" else text)
        elif word == "HELP":
            known = attrs.evolve(known, help=unescaped(text))
        else:
            known = attrs.evolve(known, unit=text)
        self.families[name] = known


def read_exposition(body: bytes, content_type: str) -> Exposition:
    """What ``body`` says, by its type: OpenMetrics, else the text format. Raises BadExposition."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise BadExposition(f"line {line} is no UTF-8 text") from None
    if content_type.partition(";")[0].strip().lower() == OPENMETRICS:
        return _read_openmetrics(text)
    return _read_text(text)


def _read_text(text: str) -> Exposition:
    out = Exposition()
    keys, values, times = out.keys, out.values, out.times
    match = _TEXT.fullmatch
    for number, line in enumerate(text.split("\n"), 1):
        found = match(line)
        if found is not None:
            key, value, time = found.groups()
            keys.append(key)
            values.append(_value(value, number))
            times.append(None if time is None else int(time))
        elif line.lstrip(" \t")[:1] == "#":
            _comment(line.lstrip(" \t"), number, out)
        elif line.strip(" \t"):
            raise BadExposition(f"line {number} is no sample: {line[:80]!r}")
    return out


def _read_openmetrics(text: str) -> Exposition:
    out = Exposition()
    keys, values, times = out.keys, out.values, out.times
    match = _OPEN.fullmatch
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines or lines[-1] != "# EOF":
        raise BadExposition('the last line is not "# EOF": the answer was cut off')
    lines.pop()
    for number, line in enumerate(lines, 1):
        found = match(line)
        if found is not None:
            key, value, time, exemplar = found.groups()
            keys.append(key)
            values.append(_value(value, number))
            times.append(None if time is None else _seconds(time, number))
            out.exemplars += exemplar is not None
        elif line == "# EOF":
            raise BadExposition(f'line {number}: something follows "# EOF"')
        elif line[:2] == "# ":
            _comment(line, number, out)
        else:
            raise BadExposition(f"line {number} is no sample: {line[:80]!r}")
    return out


def _comment(line: str, number: int, out: Exposition) -> None:
    found = _META.fullmatch(line)
    if found is None:
        return  # a comment
    word, name, text = found[1], found[2], found[3] or ""
    if word == "TYPE" and text.strip(" \t") not in _TYPES:
        raise BadExposition(f"line {number}: {text[:40]!r} is no type of metric")
    out.describe(word, name, text.strip(" \t") if word != "HELP" else text)


def _value(text: str, number: int) -> float:
    if _PLAIN.fullmatch(text):
        return float(text)
    special = _SPECIAL.get(text.lower())
    if special is None:
        raise BadExposition(f"line {number}: {text[:40]!r} is no number")
    return special


def _seconds(text: str, number: int) -> int:
    if not _PLAIN.fullmatch(text) or abs(float(text)) > 1e13:
        raise BadExposition(f"line {number}: {text[:40]!r} is no time")
    return round(float(text) * 1000)


def parse_key(key: str) -> tuple[str, dict[str, str]]:
    """Metric name and labels of a sample's key. Raises BadExposition."""
    name, brace, rest = key.partition("{")
    name = name.rstrip(" \t")
    labels: dict[str, str] = {}
    if not brace:
        return name, labels
    at, end = 0, len(rest) - 1
    while at < end:
        found = _LABEL.match(rest, at, end)
        if found is None:
            if rest[at:end].strip(" \t") == "":
                break
            raise BadExposition(f"{name}: these are no labels: {rest[at:end][:80]!r}")
        if found[1] in labels:
            raise BadExposition(f"{name}: the label {found[1]!r} comes twice")
        labels[found[1]] = unescaped(found[2])
        at = found.end()
        if at < end and rest[at] != ",":
            raise BadExposition(f"{name}: a comma is missing before {rest[at:end][:40]!r}")
        at += 1
    return name, labels


def unescaped(text: str) -> str:
    r"""Without the escapes ``\\``, ``\"`` and ``\n``."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
