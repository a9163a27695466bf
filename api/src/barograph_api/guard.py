"""Who may ask what: host names, sessions, tokens, request forgery and the size of what is sent.

One ASGI wrapper around the whole application, so that no route, socket or file can be forgotten:
what is not on the public list needs a session or a token.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import attrs

from barograph.ingest_tokens import PREFIX
from barograph_api.access import ABSOLUTE_MS, Access, Session, csrf_of
from barograph_api.answers import defect, problem_body, send_answer, send_problem, with_headers

if TYPE_CHECKING:
    from barograph.senders import Sender

PUBLIC = frozenset({"/healthz", "/readyz", "/login"})
"""Routes without a token: they tell nothing but whether the server works."""

COOKIE = "barograph_session"
MAX_BODY = 2**20
MAX_STRANGER_BODY = 4096
"""Bytes that someone without a session may send: a login form is all there is."""

BODY_SECONDS = 10.0
MAX_DEPTH = 32
BINARY = "application/x-protobuf"
BODY_TYPES = ("application/json", "application/x-www-form-urlencoded", BINARY)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?", re.ASCII)


@attrs.frozen
class Refusal(Exception):
    """Why a request is not served."""

    status: int
    title: str
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


@attrs.frozen
class Seen:
    """What the guard knows of the one who asks; in ``scope["state"]["seen"]``.

    ``session`` and ``cookie``: a browser that is signed in; neither: a bearer of a token, a
    stranger on a public route, or anyone where no token is needed. ``sender``: the bearer of an
    ingest token, who asks for a route that takes samples in.
    """

    session: Session | None = None
    cookie: str = ""
    sender: Sender | None = None

    @property
    def csrf(self) -> str:
        return csrf_of(self.cookie) if self.session is not None else ""


class Guard:
    """The wrapper. ``access`` None: no token needed (loopback only).

    ``hosts``: the exact names in a Host header. ``public``: exact paths, besides ``PUBLIC``.
    ``limits``: bytes that a body may have, by exact path, where it is not ``MAX_BODY``.
    ``ingest``: exact paths that a bearer of an ingest token may post to; they may nothing else.
    """

    def __init__(
        self, app: Any, access: Access | None, hosts: Iterable[str], public: Iterable[str] = (),
        limits: Mapping[str, int] | None = None, ingest: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._app, self._access = app, access
        self.ingest = frozenset(ingest)
        self._hosts = frozenset(host.lower() for host in hosts if host)
        self.public = PUBLIC | frozenset(public)
        self._limits = dict(limits or {})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = with_headers(send)
        try:
            asked = _Asked.of(scope)
            if scope["type"] == "websocket":
                scope["state"] = {**scope.get("state", {}), "seen": self._judge(asked)}
                await self._app(scope, receive, send)
                return
            if await self._link(asked, send):
                return
            seen = self._judge(asked)
            if "//" in asked.path or (asked.path != "/" and asked.path.endswith("/")):
                raise Refusal(404, "Not Found", "a path has one spelling here: no empty parts")
            scope["state"] = {**scope.get("state", {}), "seen": seen}
            known = self._access is None or seen.session is not None or asked.bearer
            limit = self._limits.get(asked.path, MAX_BODY) if known else MAX_STRANGER_BODY
            # What a plugin's own protocol packs is no JSON yet: brackets in it mean nothing.
            packed = asked.path in self._limits and "content-encoding" in asked.headers
            receive = await _whole(receive, asked, limit, opaque=packed or asked.kind == BINARY)
            if receive is None:
                return
        except Refusal as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        began = False

        async def watched(message: Any) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 — told under its id; no trace leaves the server
            found = defect(error)
            if not began:
                await send_problem(send, found)

    def _judge(self, asked: _Asked) -> Seen:
        """Raises Refusal."""
        self._check_host(asked)
        if self._access is None:
            asked.same_site(origin_needed=asked.websocket)
            return Seen()
        if asked.bearer:
            sender = self._check_bearer(self._access, asked)
            if asked.changing and asked.kind == "text/plain":
                raise Refusal(415, "Unsupported Media Type", "send application/json")
            return Seen(sender=sender)
        cookie = asked.cookie
        session = self._access.find(cookie)
        if session is not None:
            asked.same_site(origin_needed=True)
            seen = Seen(session, cookie)
            if asked.changing and asked.path != "/login":
                given = asked.headers.get("x-csrf-token", "")
                if not hmac.compare_digest(given.encode("latin-1", "replace"), seen.csrf.encode()):
                    raise Refusal(403, "Forbidden", "the header X-CSRF-Token is missing or wrong")
            return seen
        if asked.path in self.public and not asked.websocket:
            asked.same_site(origin_needed=False)
            return Seen()
        raise Refusal(
            401, "Unauthorized",
            "open the address that `barograph run` printed, or send the header "
            "`Authorization: Bearer TOKEN`", ((b"www-authenticate", b"Bearer"),),
        )  # fmt: skip

    def _check_host(self, asked: _Asked) -> None:
        given = _HOST.fullmatch(asked.host)
        if given is None or given[1].strip("[]") not in self._hosts:
            detail = "this server does not answer to that host name; add it to [server] "
            raise Refusal(400, "Bad Host", detail + "allowed_hosts if it is this server's")

    def _check_bearer(self, access: Access, asked: _Asked) -> Sender | None:
        """The sender whose token it is, None for a token that opens everything."""
        wrong = Refusal(401, "Unauthorized", "the token is wrong",
                        ((b"www-authenticate", b'Bearer error="invalid_token"'),))  # fmt: skip
        # Tokens made here cannot be guessed, so that nobody can lock their bearers out either.
        if access.made_here(asked.bearer):
            return None
        if asked.bearer.startswith(PREFIX):
            sender = access.senders.find(asked.bearer)
            if sender is None:
                raise wrong  # no attempt to count: no token that can be guessed begins so
            if asked.websocket or asked.method != "POST" or asked.path not in self.ingest:
                raise Refusal(
                    403, "Forbidden", "an ingest token writes samples and does nothing else: POST "
                    f"to {', '.join(sorted(self.ingest)) or 'no path of this server'}",
                )  # fmt: skip
            return sender
        if access.failures.blocked(asked.peer):
            raise too_many_attempts()
        if not access.opens(asked.bearer):
            access.failures.add(asked.peer)
            raise wrong
        return None

    async def _link(self, asked: _Asked, send: Any) -> bool:
        """``GET /?token=...`` becomes a session, and the token leaves the address."""
        if asked.path != "/" or asked.method != "GET" or b"token=" not in asked.query:
            return False
        if asked.bearer:
            return False  # who shows a token in a header is judged by that
        self._check_host(asked)
        headers = [(b"location", b"/"), (b"cache-control", b"no-store")]
        access = self._access
        if access is not None:
            token = parse_qs(asked.query.decode("latin-1")).get("token", [""])[0]
            if access.failures.blocked(asked.peer):
                raise too_many_attempts()
            if access.opens(token):
                headers.append((b"set-cookie", asked.set_cookie(access.begin(asked.cookie))))
            elif access.find(asked.cookie) is None:
                access.failures.add(asked.peer)
                headers[0] = (b"location", b"/login?failed=1")
        await send_answer(send, 303, headers)
        return True


@attrs.frozen
class _Asked:
    """A request's head, read once."""

    websocket: bool
    method: str
    path: str
    query: bytes
    scheme: str
    peer: str
    host: str
    bearer: str
    cookie: str
    headers: dict[str, str]

    @classmethod
    def of(cls, scope: Any) -> _Asked:
        """Raises Refusal for what no honest client sends."""
        headers: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name = raw.decode("latin-1").lower()
            if name in ("host", "origin", "authorization", "content-length") and name in headers:
                raise Refusal(400, "Bad Request", f"the header {name} came twice")
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}; {text}" if name in headers else text
        scheme, _, token = headers.get("authorization", "").partition(" ")
        peer = (scope.get("client") or ("?",))[0]
        host = headers.get("host", "").lower()
        return cls(
            scope["type"] == "websocket", scope.get("method", "GET"), scope["path"],
            scope.get("query_string", b""), scope.get("scheme", "http"), peer, host,
            token.strip() if scheme.lower() == "bearer" else "", _cookie(headers, host), headers,
        )  # fmt: skip

    @property
    def changing(self) -> bool:
        return not self.websocket and self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def kind(self) -> str:
        """The type of the body, "" if none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def same_site(self, *, origin_needed: bool) -> None:
        """Refuse what another site's page could have made a browser send."""
        if not (self.changing or self.websocket):
            return
        origin = self.headers.get("origin", "")
        same = urlsplit(origin).netloc.lower() == self.host if origin else not origin_needed
        site = self.headers.get("sec-fetch-site", "same-origin")
        if not same or site not in ("same-origin", "none"):
            raise Refusal(403, "Forbidden", "the Origin is not this server's: a request from "
                          "another site, or one without the header")  # fmt: skip
        if self.changing and self.kind not in BODY_TYPES:
            raise Refusal(415, "Unsupported Media Type", "send application/json")

    def set_cookie(self, value: str) -> bytes:
        """The header that gives (or, with "", takes away) the cookie of a session."""
        secure = self.scheme == "https" or self.headers.get("origin", "").startswith("https:")
        return set_cookie(self.host, value, secure=secure)


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def too_many_attempts() -> Refusal:
    """The answer above the limit of failed attempts, whether the token is right or wrong."""
    detail = "too many attempts with a wrong token; wait a minute"
    return Refusal(429, "Too Many Requests", detail, ((b"retry-after", b"60"),))


def cookie_name(host: str) -> str:
    """A name of this port's own: browsers send the cookies of one host to all of its ports."""
    port = host.rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isascii() and port.isdigit() else COOKIE


def set_cookie(host: str, value: str, *, secure: bool = False) -> bytes:
    """A Set-Cookie header's value."""
    end = f"Max-Age={ABSOLUTE_MS // 1000}" if value else "Max-Age=0"
    flags = "HttpOnly; SameSite=Strict; Secure" if secure else "HttpOnly; SameSite=Strict"
    return f"{cookie_name(host)}={value}; Path=/; {flags}; {end}".encode("latin-1")


def asked_of(scope: Any) -> _Asked:
    """The head of a request that a route works with."""
    return _Asked.of(scope)


def _cookie(headers: dict[str, str], host: str) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    name = cookie_name(host)
    return jar[name].value if name in jar else ""


async def _whole(receive: Any, asked: _Asked, limit: int, *, opaque: bool) -> Any:
    """``receive`` with the body read and judged; None if the peer has gone. Raises Refusal.

    ``opaque``: the body is not read as JSON by this server.
    """
    announced = asked.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit():
        raise Refusal(400, "Bad Request", "the header content-length is not a number")
    too_large = Refusal(413, "Content Too Large", f"at most {limit} bytes",
                        ((b"connection", b"close"),))  # fmt: skip
    if int(announced) > limit:
        raise too_large
    body = b""
    if int(announced) or "transfer-encoding" in asked.headers:
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    more = message.get("more_body", False)
                    if size > limit:
                        raise too_large
        except TimeoutError:
            detail = f"the body took over {BODY_SECONDS:g} s"
            raise Refusal(408, "Request Timeout", detail, ((b"connection", b"close"),)) from None
        body = b"".join(parts)
        if not opaque and too_deep(body):
            raise Refusal(400, "Bad Request", f"nested deeper than {MAX_DEPTH} levels")
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


# A text that does not end reaches to the end: else each of its quotes would be tried anew.
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def too_deep(body: bytes) -> bool:
    """Whether brackets outside of JSON texts nest deeper than ``MAX_DEPTH``."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    return any(depth > MAX_DEPTH for depth in _depths(_TEXTS.sub(b"", body)))


def _depths(body: bytes) -> Iterator[int]:
    depth = 0
    for found in _BRACKETS.finditer(body):
        depth += 1 if found[0] in b"[{" else -1
        yield depth


async def _refuse(scope: Any, receive: Any, send: Any, refusal: Refusal) -> None:
    problem = problem_body(refusal.status, refusal.title, refusal.detail)
    if scope["type"] == "websocket":
        await receive()
        await send_problem(send, problem, list(refusal.headers), websocket=True)
        return
    wants_page = any(k == b"accept" and b"text/html" in v for k, v in scope["headers"])
    if refusal.status == 401 and wants_page and scope["method"] == "GET":
        await send_answer(send, 303, [(b"location", b"/login")])
        return
    await send_problem(send, problem, list(refusal.headers))
