"""What is wrong in a configuration, for the person who wrote it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import attrs


@attrs.frozen
class Mistake:
    """One mistake. ``where``: file:line:column, or the variable or flag it came from."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class ConfigErrors(Exception):
    """All mistakes of a configuration at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(str(m) for m in self.mistakes))


MAX_WORD = 80
"""Characters of a wrong word that messages show."""


def clipped(word: object) -> str:
    """A word of the file as messages show it."""
    text = str(word)
    return text if len(text) <= MAX_WORD else text[: MAX_WORD - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean "..."?`` where a known word is near, else the list of known words."""
    known = sorted(known)
    close = difflib.get_close_matches(clipped(word), known, 1, 0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(known)}" if known else ""
