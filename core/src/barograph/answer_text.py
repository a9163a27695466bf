"""Answers of queries as the Prometheus HTTP API writes them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

import numpy as np

from barograph.answer import Answer, Matrix, Scalar, String

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
             "w": 604_800_000, "y": 31_536_000_000}  # fmt: skip
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?"
                       r"(?:(\d+)ms)?", re.ASCII)  # fmt: skip
_DURATION_ORDER = ("y", "w", "d", "h", "m", "s", "ms")
MAX_SECONDS = 2**53 / 1000


def number_text(value: float) -> str:
    """A sample value: the shortest text that reads back the same, as Go writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = abs(value)
    if size and (size < 1e-6 or size >= 1e21):
        mantissa, _, exponent = repr(float(value)).partition("e")
        if not exponent:
            mantissa, _, exponent = np.format_float_scientific(value, trim="-").partition("e")
        sign, digits = exponent[0], exponent.lstrip("+-").zfill(2)
        return f"{mantissa.removesuffix('.0')}e{sign if sign == '-' else '+'}{digits}"
    text = repr(float(value))
    if "e" in text:
        return str(np.format_float_positional(value, trim="-"))
    return text.removesuffix(".0")


def time_number(t_ms: int) -> float | int:
    """Seconds, whole where they are."""
    return t_ms // 1000 if t_ms % 1000 == 0 else t_ms / 1000


def data_of(answer: Answer) -> dict[str, Any]:
    """``data`` of the API's answer to a query."""
    if isinstance(answer, Scalar):
        return {"resultType": "scalar", "result": _pair(answer.t_ms, answer.value)}
    if isinstance(answer, String):
        return {"resultType": "string", "result": [time_number(answer.t_ms), answer.value]}
    if isinstance(answer, Matrix):
        result = [
            {
                "metric": labels.as_dict(),
                "values": [
                    _pair(t, v)
                    for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
                ],
            }
            for labels, column in answer
        ]
        return {"resultType": "matrix", "result": result}
    vector = [
        {"metric": labels.as_dict(), "value": _pair(answer.t_ms, value)}
        for labels, value in zip(answer.labels, answer.values.tolist(), strict=True)
    ]
    return {"resultType": "vector", "result": vector}


def _pair(t_ms: int, value: float) -> list[Any]:
    return [time_number(t_ms), number_text(value)]


def parse_time(text: str) -> int:
    """Milliseconds of Unix seconds or RFC 3339 text. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f'cannot parse "{text}" to a valid timestamp; write Unix seconds or '
                "2026-01-31T12:00:00Z"
            ) from None
        if moment.tzinfo is None:
            raise ValueError(f'"{text}" has no time zone; add Z for UTC') from None
        return round(moment.timestamp() * 1000)
    if not abs(seconds) <= MAX_SECONDS:
        raise ValueError(f'cannot parse "{text}" to a valid timestamp')
    return round(seconds * 1000)


def parse_step(text: str) -> int:
    """Milliseconds of a duration (``30s``, ``1h30m``) or of a number of seconds."""
    try:
        ms = float(text) * 1000
    except ValueError:
        match = _DURATION.fullmatch(text)
        if match is None or not text:
            raise ValueError(f'cannot parse "{text}" to a valid duration') from None
        ms = sum(
            int(number) * _UNITS_MS[unit]
            for number, unit in zip(match.groups(), _DURATION_ORDER, strict=True)
            if number
        )
    if not abs(ms) <= MAX_SECONDS * 1000:
        raise ValueError(f'cannot parse "{text}" to a valid duration')
    return round(ms)
