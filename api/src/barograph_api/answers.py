"""What every answer has: security headers, and errors as problem details (RFC 9457)."""

from __future__ import annotations

import json
import secrets
import sys
import traceback
from http import HTTPStatus
from typing import Any

PROBLEM = "application/problem+json"

HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-security-policy",
     b"default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
     b"form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: under it, browsers send `Origin: null` with the login form.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]  # fmt: skip
"""On every answer. No script, style, frame or request of any other origin, none inline."""


def problem_body(status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of a problem."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}


def defect(error: BaseException) -> dict[str, Any]:
    """The problem of an error that nobody foresaw: an id here, the trace in the log only."""
    number = secrets.token_hex(6)
    trace = "".join(traceback.format_exception(error))
    print(f"error {number}:\n{trace}", file=sys.stderr, flush=True)
    detail = "this is a defect of the server or of a plugin; its log has more under the id"
    return problem_body(500, "Internal Server Error", detail, id=number)


def with_headers(send: Any) -> Any:
    """``send`` that adds the security headers to every answer."""

    async def wrapped(message: Any) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = [*message.get("headers", []), *HEADERS]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return wrapped


async def send_answer(
    send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"", *,
    websocket: bool = False,
) -> None:  # fmt: skip
    """A whole answer over ASGI; ``websocket``: instead of a handshake."""
    kind = "websocket.http.response" if websocket else "http.response"
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def send_problem(
    send: Any, problem: dict[str, Any], headers: list[tuple[bytes, bytes]] | None = None, *,
    websocket: bool = False,
) -> None:  # fmt: skip
    """A problem over ASGI."""
    kind = (b"content-type", PROBLEM.encode())
    body = json.dumps(problem).encode()
    await send_answer(send, problem["status"], [kind, *(headers or [])], body, websocket=websocket)


def plain_bytes(status: int, title: str, detail: str) -> bytes:
    """A problem as bytes on the wire, for what is refused before it is a request."""
    body = json.dumps(problem_body(status, title, detail)).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
             b"content-type: " + PROBLEM.encode(), b"content-length: %d" % len(body),
             b"connection: close", b"cache-control: no-store",
             *(name + b": " + value for name, value in HEADERS)]  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
