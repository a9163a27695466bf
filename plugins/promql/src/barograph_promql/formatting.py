"""An expression laid out as a person would write it, long ones over several lines.

The library lays it out; what it read in place of regular expressions, times and numbers is put
back the way Prometheus writes it.
"""

from __future__ import annotations

import re

import numpy as np

from barograph.promql_text import Masked, mask, quoted
from barograph_promql.numbers import number_text
from barograph_promql.parsing import parse, tree_of

_PART = re.compile(
    r"""(?P<group>(?<!\)[ ])\bgroup_(?:left|right)[ ]\()
    |(?P<window>\[[^\]]*\]|offset\s-?\w+)
    |(?<=~)"barograph\.(?P<pattern>\d+)\|\.[+*]"
    |(?P<string>"(?:\\.|[^"\\])*")
    |@\s(?P<time>\d+)\.000
    |(?P<number>(?<![\w:.])(?:\d+(?:\.\d+)?|Inf)(?![\w:.]))""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def formatted(text: str) -> str:
    """Raises QueryInvalid."""
    parse(text)
    masked = mask(text)
    laid_out: str = tree_of(masked).prettify()
    return _PART.sub(lambda part: _restored(part, masked), laid_out)


def _restored(part: re.Match[str], masked: Masked) -> str:
    if part["group"] is not None:  # the library leaves out what it takes for granted
        return f"ignoring () {part[0]}"
    if part["pattern"] is not None:
        return quoted(masked.patterns[int(part["pattern"])])
    if part["time"] is not None:
        return f"@ {masked.times[int(part['time'])] / 1000:.3f}"
    if part["number"] is None:
        return part[0]
    signed = part.string[: part.start()].endswith("-")
    return _number(float(part["number"])).lstrip("+" if signed else "")


def _number(value: float) -> str:
    """As Go's ``%v``: with an exponent below 1e-4 and from 21 digits on."""
    size = abs(value)
    if not np.isfinite(value) or not size or 1e-4 <= size < 1e21:
        return number_text(value)
    mantissa, _, exponent = np.format_float_scientific(value, trim="-").partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
