"""Answers of queries as JSON text: what ``barograph.answer_text.data_of`` says, written at once.

A matrix of thousands of series is a million small objects on the way to JSON; text is joined
directly instead.
"""

from __future__ import annotations

import operator

import msgspec

from barograph.answer import Answer, Matrix, Vector
from barograph.answer_text import data_of, number_text, time_number


def data_json(answer: Answer) -> bytes:
    """``data`` of the API's answer to a query."""
    if isinstance(answer, Matrix):
        return _result("matrix", _matrix(answer))
    if isinstance(answer, Vector):
        return _result("vector", _vector(answer))
    return msgspec.json.encode(data_of(answer))


def _result(kind: str, parts: list[str]) -> bytes:
    return f'{{"resultType":"{kind}","result":[{",".join(parts)}]}}'.encode()


def _matrix(answer: Matrix) -> list[str]:
    out: list[str] = []
    known, before = b"", list[str]()
    for labels, column in answer:
        times = column.t_ms.tobytes()
        if times != known:  # most series have the times of the one before
            known = times
            before = [f'[{time_number(t)},"' for t in column.t_ms.tolist()]
        pairs = '"],'.join(map(operator.add, before, number_texts(column.values.tolist())))
        metric = msgspec.json.encode(dict(labels.pairs)).decode()
        out.append(f'{{"metric":{metric},"values":[{pairs}"]]}}')
    return out


def _vector(answer: Vector) -> list[str]:
    time = time_number(answer.t_ms)
    texts = number_texts(answer.values.tolist())
    return [
        f'{{"metric":{msgspec.json.encode(dict(labels.pairs)).decode()},"value":[{time},"{text}"]}}'
        for labels, text in zip(answer.labels, texts, strict=True)
    ]


def number_texts(values: list[float]) -> list[str]:
    """``number_text`` of each."""
    return [
        text[:-2] if text[-2:] == ".0"
        else number_text(value) if "e" in text or "n" in text  # an exponent, NaN, an infinity
        else text
        for value, text in zip(values, map(repr, values), strict=True)
    ]  # fmt: skip
