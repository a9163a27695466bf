"""Where each key of a configuration file stands, for messages with line and column."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Any

import tomli

Keys = tuple[str, ...]
Places = dict[Keys, tuple[int, int]]
"""Key path -> line and column, both counted from 1."""

MAX_DEPTH = 8
"""Tables within tables that are looked into; no option lies deeper."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""", re.ASCII)
_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)  # fmt: skip
_PLAIN = re.compile(r"[^,\]}#\n]*")


def toml_places(text: str) -> Places:
    """Places of all keys of a valid TOML text; O(n)."""
    return _Toml(text).scan()


class _Toml:
    """A scanner of text that tomli has accepted: it only has to find the keys."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(m.end() for m in re.finditer("\n", text))]
        self._at = 0
        self._places: Places = {}

    def scan(self) -> Places:
        table: Keys = ()
        while True:
            self._skip(_BETWEEN)
            if self._at >= len(self._text):
                return self._places
            if self._text[self._at] == "[":
                start = self._at
                self._at += 2 if self._text.startswith("[[", start) else 1
                table = self._key((), start)
                self._at = self._text.find("]", self._at)
                while self._at < len(self._text) and self._text[self._at] == "]":
                    self._at += 1
            else:
                self._pair(table, 0)

    def _pair(self, table: Keys, depth: int) -> None:
        keys = self._key(table, None)
        self._skip(_BLANK)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(keys, depth)

    def _key(self, table: Keys, start: int | None) -> Keys:
        """A dotted key; its parts stand where ``start`` says, else where each begins."""
        keys = table
        while True:
            self._skip(_BLANK)
            found = _KEY.match(self._text, self._at)
            assert found is not None, "tomli accepted a key that this scanner does not know"
            word = (
                found[0] if _BARE.fullmatch(found[0]) else next(iter(tomli.loads(f"{found[0]}=0")))
            )
            keys = (*keys, word)
            self._places.setdefault(keys, self._place(self._at if start is None else start))
            self._at = found.end()
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, keys: Keys, depth: int) -> None:
        text = _TEXT.match(self._text, self._at)
        if text is not None:
            self._at = text.end()
        elif self._text[self._at] == "[":
            self._at += 1
            for _ in self._items("]"):
                self._value((*keys, "[]"), depth + 1)
        elif self._text[self._at] == "{":
            self._at += 1
            for _ in self._items("}"):
                self._pair(keys, depth + 1)
        else:
            self._skip(_PLAIN)

    def _items(self, end: str) -> Iterator[None]:
        while True:
            self._skip(_BETWEEN)
            if self._text.startswith(end, self._at):
                self._at += 1
                return
            yield
            self._skip(_BETWEEN)
            if self._text.startswith(",", self._at):
                self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _place(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1


def yaml_places(root: Any) -> tuple[Places, list[tuple[Keys, tuple[int, int]]]]:
    """Places of all keys below a composed YAML node, and the keys that stand twice."""
    import yaml

    places: Places = {}
    twice: list[tuple[Keys, tuple[int, int]]] = []
    seen: set[int] = set()  # an alias is looked into once: a few lines may stand for billions

    def walk(node: Any, keys: Keys) -> None:
        if not isinstance(node, yaml.MappingNode) or len(keys) >= MAX_DEPTH or id(node) in seen:
            return
        seen.add(id(node))
        here: set[str] = set()
        for name, value in node.value:
            word = name.value if isinstance(name.value, str) else "?"
            place = (name.start_mark.line + 1, name.start_mark.column + 1)
            if word in here and word != "<<":
                twice.append(((*keys, word), place))
            here.add(word)
            places.setdefault((*keys, word), place)
            walk(value, (*keys, word))

    walk(root, ())
    return places, twice
