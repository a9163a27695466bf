"""What is not accepted of a request, and the answer that says so."""

from __future__ import annotations

import json
from collections import Counter

from barograph.contracts import Response

_TITLES = {400: "Bad Request", 413: "Content Too Large", 415: "Unsupported Media Type",
           503: "Service Unavailable"}  # fmt: skip


class Refused:
    """Counts by reason, with an example of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, why: str, n: int, example: str = "") -> None:
        if n:
            self.counts[why] += n
            if example:
                self.example(why, example)

    def example(self, why: str, example: str) -> None:
        self._examples.setdefault(why, example[:200])

    def __str__(self) -> str:
        return "; ".join(
            f"{n} samples dropped: {self._examples.get(why) or why.replace('_', ' ')}"
            for why, n in sorted(self.counts.items())
        )


def refusal(status: int, detail: str) -> Response:
    """A problem (RFC 9457); 503 asks to come again."""
    body = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail}
    headers = {"retry-after": "1"} if status == 503 else {}
    return Response(json.dumps(body).encode(), "application/problem+json", status, headers)
