"""Who may ask what: host names, sessions, tokens, request forgery, limits and headers.

One ASGI wrapper around the whole application, so that no route, socket or file can be forgotten:
what is not on the public list needs a session or a token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections import deque
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

COOKIE = "barograph_session"
PUBLIC = frozenset({"/healthz", "/readyz", "/login"})
"""Routes without a token: they tell nothing but whether the server works."""

IDLE_S = 12 * 3600
ABSOLUTE_S = 7 * 86400
MAX_SESSIONS = 1000
LOGINS_PER_MINUTE = 10
MAX_BODY = 2**20

HEADERS = [
    (b"content-security-policy",
     b"default-src 'self'; frame-ancestors none; base-uri 'none'; form-action 'self'".replace(
         b"frame-ancestors none", b"frame-ancestors 'none'")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@attrs.define
class Session:
    """A browser that has shown a token."""

    csrf: str
    born: float
    used: float


class Sessions:
    """Sessions in memory, by the hash of their cookie; they end with the server."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [_digest(token) for token in tokens if token]
        self._sessions: dict[bytes, Session] = {}
        self._logins: dict[str, deque[float]] = {}

    def valid_token(self, token: str) -> bool:
        given = _digest(token)
        return any([hmac.compare_digest(given, known) for known in self._tokens])

    def may_try(self, peer: str) -> bool:
        """Count an attempt to log in; False above the limit of a minute."""
        now = time.monotonic()
        if len(self._logins) > 10_000:
            self._logins.clear()
        tries = self._logins.setdefault(peer, deque())
        while tries and now - tries[0] > 60:
            tries.popleft()
        if len(tries) >= LOGINS_PER_MINUTE:
            return False
        tries.append(now)
        return True

    def begin(self) -> str:
        """A new session's cookie value."""
        now = time.monotonic()
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        cookie = secrets.token_urlsafe(32)
        self._sessions[_digest(cookie)] = Session(secrets.token_urlsafe(24), now, now)
        return cookie

    def find(self, cookie: str) -> Session | None:
        key = _digest(cookie)
        session = self._sessions.get(key)
        now = time.monotonic()
        if session is None:
            return None
        if now - session.used > IDLE_S or now - session.born > ABSOLUTE_S:
            del self._sessions[key]
            return None
        session.used = now
        return session

    def end(self, cookie: str) -> None:
        self._sessions.pop(_digest(cookie), None)


class Guard:
    """The ASGI wrapper. ``sessions`` None: no authentication (loopback only)."""

    def __init__(self, app: Any, sessions: Sessions | None, hosts: Iterable[str]) -> None:
        self._app, self._sessions = app, sessions
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if scope["type"] == "http":
            send = _with_headers(send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return
        if scope["type"] == "http":
            receive = await _bounded(receive, headers)
            if receive is None:
                await _refuse(scope, None, send, 413, "Content Too Large", "at most 1 MiB")
                return
            if await self._page_login(scope, send):
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Any, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            return (
                400,
                "Bad Host",
                ("this server does not answer to that host name; add it to [server] allowed_hosts"),
            )
        scope["state"] = {**scope.get("state", {}), "session": None}
        if self._sessions is None:
            return self._forged(scope, headers, host, cookie=True)
        path = scope["path"]
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self._sessions.valid_token(bearer[7:]):
            return None
        session = self._sessions.find(cookie_of(headers))
        if session is not None:
            scope["state"]["session"] = session
            return self._forged(scope, headers, host, cookie=True)
        if path in PUBLIC:
            return self._forged(scope, headers, host, cookie=False)
        if path == "/" and b"token=" in scope.get("query_string", b""):
            return None
        return (
            401,
            "Unauthorized",
            (
                "open the address that `barograph run` printed, or send the header "
                "`Authorization: Bearer TOKEN`"
            ),
        )

    def _forged(
        self, scope: Any, headers: dict[str, str], host: str, *, cookie: bool
    ) -> tuple[int, str, str] | None:
        """Requests that another site's page could have made."""
        origin = headers.get("origin", "")
        same = not origin or urlsplit(origin).netloc.lower() == host.lower()
        if scope["type"] == "websocket":
            return None if same and origin else (403, "Forbidden", "the Origin does not fit")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        if not same or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "Forbidden", "requests from other sites are refused"
        kind = headers.get("content-type", "").split(";")[0]
        if kind not in ("application/json", "application/x-www-form-urlencoded"):
            return 415, "Unsupported Media Type", "send application/json"
        session = scope["state"]["session"]
        if cookie and session is not None and scope["path"] != "/login":
            given = headers.get("x-csrf-token", "")
            if not hmac.compare_digest(given.encode(), session.csrf.encode()):
                return 403, "Forbidden", "the header X-CSRF-Token is missing or wrong"
        return None

    async def _page_login(self, scope: Any, send: Any) -> bool:
        """``/?token=...`` becomes a session, and the token leaves the address."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if scope["path"] != "/" or "token" not in query:
            return False
        location = b"/"
        headers = [(b"location", location), (b"cache-control", b"no-store")]
        if self._sessions is not None:
            if not self.sessions_allow(scope, query["token"][0]):
                headers[0] = (b"location", b"/login?failed=1")
            else:
                headers.append((b"set-cookie", set_cookie(self._sessions.begin())))
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True

    def sessions_allow(self, scope: Any, token: str) -> bool:
        assert self._sessions is not None
        peer = (scope.get("client") or ("?",))[0]
        return self._sessions.may_try(peer) and self._sessions.valid_token(token)


def host_name(header: str) -> str:
    """The name in a Host header, without its port; "" if there is none."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def cookie_of(headers: dict[str, str]) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def set_cookie(value: str) -> bytes:
    end = f"Max-Age={ABSOLUTE_S}" if value else "Max-Age=0"
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; {end}".encode()


def _with_headers(send: Any) -> Any:
    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return wrapped


async def _bounded(receive: Any, headers: dict[str, str]) -> Any:
    """``receive`` with the body read up to the limit; None if it is longer."""
    try:
        announced = int(headers.get("content-length", "0") or 0)
    except ValueError:
        return None
    if announced > MAX_BODY:
        return None
    if not announced and "transfer-encoding" not in headers:
        return receive
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return receive
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            return None
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(
    scope: Any, receive: Any, send: Any, status: int, title: str, detail: str
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4401 if status == 401 else 4403,
                    "reason": title})  # fmt: skip
        return
    wants_page = any(k == b"accept" and b"text/html" in v for k, v in scope["headers"])
    if status == 401 and wants_page:
        headers = [(b"location", b"/login")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    headers = [(b"content-type", b"application/problem+json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
