"""Where an expression goes wrong: of a mistake in syntax the parser library does not say that.

What is wrong is the first token after which no expression can follow any more. Whether one can is
tried: a beginning is good if some ending makes an expression of it. A beginning of a good beginning
is good, so the token is found by bisection.
"""

from __future__ import annotations

import itertools
import re

from barograph.answer import QueryInvalid
from barograph.promql_text import mask, quoted

MAX_TOKENS = 1000
"""A place is looked for by parsing some two hundred texts of this size."""

_SYNTAX = ("invalid promql query", "unexpected", "invalid label matcher", "unclosed")
"""How the library begins what it says of a mistake in syntax."""

_ENDS = ("unexpected end of input", "unclosed")
"""... and if the text ends too early."""

_TOKEN = re.compile(
    r"""\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|[=!]~|[=!<>]=|:?[a-zA-Z_][\w:.]*|[\d.][\w.]*|\s+|.""",
    re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}

_NEXT = ("", " x", " 1", " 5m", ' "s"', ' = "s"', " (x)")
"""What may be missing right after a good beginning, before its brackets close, ..."""

_LAST = ("", " x", " (x)")
"""... and after they have closed."""


def placed(text: str, told: str) -> str:
    """The message for what the library has ``told`` of ``text``: if that is about syntax (not about
    types, names or numbers), with the place, in the form of Prometheus's.

    In a text of more than ``MAX_TOKENS`` no place is looked for.
    """
    if not told.startswith(_SYNTAX):
        return f"parse error: {told}"
    tokens = [m for m in _TOKEN.finditer(text) if not m[0].isspace() and not m[0].startswith("#")]
    if len(tokens) > MAX_TOKENS:
        return f"parse error: {told}"
    good, bad = 0, len(tokens) + 1  # the first `good` tokens begin an expression
    while bad - good > 1:
        middle = (good + bad) // 2
        end = tokens[middle - 1].end() if middle <= len(tokens) else len(text)
        if middle <= len(tokens) and _can_go_on(text[:end], [m[0] for m in tokens[:middle]]):
            good = middle
        else:
            bad = middle
    if good == len(tokens):
        told = told if told.startswith(_ENDS) else _ENDS[0]
        return f"{_position(text, len(text))}: parse error: {told}"
    wrong = tokens[good]
    return f"{_position(text, wrong.start())}: parse error: unexpected {quoted(wrong[0])}"


def _can_go_on(beginning: str, tokens: list[str]) -> bool:
    open_brackets: list[str] = []
    for token in tokens:
        if token in _CLOSING:
            open_brackets.append(_CLOSING[token])
        elif token in _CLOSING.values() and (not open_brackets or open_brackets.pop() != token):
            return False
    closing = "".join(reversed(open_brackets))
    return any(
        _is_syntax(f"{beginning}{following}{closing}{last}")
        for following, last in itertools.product(_NEXT, _LAST)
    )


def _is_syntax(text: str) -> bool:
    import promql_parser  # heavy: only when an expression is parsed

    try:
        promql_parser.parse(mask(text).text)
    except ValueError as error:
        return not str(error).startswith(_SYNTAX)
    except QueryInvalid:
        return False
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return False
    return True


def _position(text: str, at: int) -> str:
    """``line:column``, from 1."""
    before = text[:at]
    return f"{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"
