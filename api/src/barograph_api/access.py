"""Tokens and sessions: what a program or a browser shows to be let in.

A token is random text that opens everything. A browser exchanges one for a session, whose cookie
it sends from then on. The file ``access.json`` in the data folder (mode 0600) keeps hashes only, so
that a browser stays signed in over a restart and nobody can sign in with what the file says. Ingest
tokens, which open the receivers of samples alone, are those of ``barograph.ingest_tokens``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from barograph.clock import Clock
from barograph.ingest_tokens import PREFIX, TokenError, read_tokens
from barograph.private_files import write_private
from barograph.senders import Senders

IDLE_MS = 12 * 3600 * 1000
ABSOLUTE_MS = 7 * 86400 * 1000
MAX_SESSIONS = 1000
KEEP_MS = 10 * 60_000
"""The time of a session's last use is written so often at most."""

FAILURES_PER_MINUTE = 10
MAX_PEERS = 10_000
MIN_TOKEN = 16
"""Characters that a token of a person's own choice must have."""

FILE = "access.json"
OWN = "own"
"""Opened by a token that Barograph made; otherwise the mark of the configured token."""


class AccessError(Exception):
    """Tokens cannot be read, kept or accepted; the message says why and what to do."""


@attrs.define(eq=False)
class Session:
    """A browser that has shown a token. Times in ms since the epoch."""

    born_ms: int
    used_ms: int
    by: str = OWN
    ended: bool = False


class Access:
    """Every token and session of one server.

    ``configured``: the token that the administrator chose (``BAROGRAPH_TOKEN``). Without one, the
    first start in ``folder`` makes the admin token; ``link_token`` is then that token, in clear for
    the only time. A later start has a ``link_token`` that works until the server stops.
    """

    def __init__(self, clock: Clock, folder: Path, configured: str = "") -> None:
        stored = check_access(folder, configured)
        self._clock = clock
        self._path = folder / FILE
        self._sessions: dict[str, Session] = {}
        self._kept_ms = clock.now_ms()
        self._told = False
        self.failures = Failures(clock)
        self.senders = Senders(folder)
        self.local_token = secrets.token_urlsafe(24)
        self.link_token = "" if configured else secrets.token_urlsafe(24)
        self._salt = str(stored.get("salt") or secrets.token_hex(16))
        self._admin = str(stored.get("token") or "")
        self._chosen = _digest(configured) if configured else ""
        self._by = _mark(configured, self._salt) if configured else OWN
        if not configured and not self._admin:
            self._admin = _digest(self.link_token)
        self._own = [_digest(token) for token in (self.local_token, self.link_token) if token]
        if not configured:
            self._own.append(self._admin)
        for key, born, used, by in stored.get("sessions", ()):
            session = Session(born, used, by)
            if by == self._by and not self._over(session):
                self._sessions[key] = session
        try:
            self._write()
        except OSError as error:
            raise AccessError(f"cannot write {self._path}: {error}") from None

    # --- tokens -----------------------------------------------------------------------------------

    def opens(self, token: str) -> bool:
        """Whether ``token`` is one of this server's."""
        return self.made_here(token) or self._is(token, self._chosen)

    def made_here(self, token: str) -> bool:
        """Whether it is one of 192 random bits, which nobody can find by trying."""
        return sum(self._is(token, known) for known in self._own) > 0

    @staticmethod
    def _is(token: str, known: str) -> bool:
        return bool(known) and hmac.compare_digest(_digest(token), known)

    # --- sessions ---------------------------------------------------------------------------------

    def begin(self, replaces: str = "") -> str:
        """The cookie of a new session, instead of the one whose cookie is given."""
        self._sessions.pop(_digest(replaces), Session(0, 0)).ended = True
        while len(self._sessions) >= MAX_SESSIONS:
            oldest = min(self._sessions, key=lambda key: self._sessions[key].used_ms)
            self._sessions.pop(oldest).ended = True
        cookie = secrets.token_urlsafe(32)
        now = self._clock.now_ms()
        self._sessions[_digest(cookie)] = Session(now, now, self._by)
        self.keep()
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The living session of a cookie; asking counts as use."""
        if not cookie:
            return None
        session = self._sessions.get(_digest(cookie))
        if session is None or not self.alive(session):
            return None
        session.used_ms = now = self._clock.now_ms()
        if now - self._kept_ms >= KEEP_MS:
            self.keep()
        return session

    def alive(self, session: Session) -> bool:
        """Whether it was neither ended nor has run out."""
        if not session.ended and self._over(session):
            session.ended = True
            self._sessions = {k: s for k, s in self._sessions.items() if s is not session}
            self.keep()
        return not session.ended

    def touch(self, session: Session) -> None:
        """Count as use: a page that shows live data is in use."""
        session.used_ms = self._clock.now_ms()

    def end(self, cookie: str) -> None:
        """Log out; the cookie is worth nothing from now on."""
        session = self._sessions.pop(_digest(cookie), None)
        if session is not None:
            session.ended = True
            self.keep()

    def _over(self, session: Session) -> bool:
        now = self._clock.now_ms()
        return now - session.used_ms > IDLE_MS or now - session.born_ms > ABSOLUTE_MS

    # --- the file ---------------------------------------------------------------------------------

    def keep(self) -> None:
        """Write the file. A disk that is full ends no session: it is told once, and tried again."""
        self._kept_ms = self._clock.now_ms()
        try:
            self._write()
            self._told = False
        except OSError as error:
            if not self._told:
                self._told = True
                print(f"warning: sessions are not kept over a restart: {error}", file=sys.stderr)

    def _write(self) -> None:
        sessions = [[key, s.born_ms, s.used_ms, s.by] for key, s in self._sessions.items()]
        text = json.dumps({"salt": self._salt, "token": self._admin, "sessions": sessions})
        write_private(self._path, text)


def check_access(folder: Path, configured: str = "") -> Mapping[str, Any]:
    """What is stored in ``folder``; nothing is written. Raises AccessError for what an Access
    could not begin with."""
    if configured and len(configured) < MIN_TOKEN:
        raise AccessError(
            f"BAROGRAPH_TOKEN is too short: it needs {MIN_TOKEN} characters or more; make one "
            "with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    if configured.startswith(PREFIX):
        raise AccessError(
            f"BAROGRAPH_TOKEN begins with {PREFIX}, as tokens do that may only write samples; this "
            "one opens everything: choose another"
        )
    try:
        read_tokens(folder)
    except TokenError as error:
        raise AccessError(str(error)) from None
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AccessError(f"cannot read {path}: {error}") from None
    try:
        stored: Mapping[str, Any] = json.loads(text)
        for key, born, used, by in stored.get("sessions", ()):
            if not (isinstance(key, str) and isinstance(by, str)):
                raise TypeError("a session is not four values")
            int(born), int(used)
        bytes.fromhex(stored.get("salt", ""))
    except (ValueError, TypeError, AttributeError) as error:
        raise AccessError(
            f"{path} is damaged ({error}); delete it: then the next start makes a new token, and "
            "every browser signs in again"
        ) from None
    return stored


class Failures:
    """Failed attempts to log in, by peer: above the limit of a minute, all are refused."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_peer: dict[str, deque[float]] = {}

    def blocked(self, peer: str) -> bool:
        """Whether this peer must wait."""
        tries = self._fresh(network(peer))
        return tries is None or len(tries) >= FAILURES_PER_MINUTE

    def add(self, peer: str) -> None:
        """Count an attempt with a wrong token."""
        tries = self._fresh(network(peer))
        if tries is not None:
            tries.append(self._clock.monotonic())
            self._by_peer[network(peer)] = tries

    def _fresh(self, name: str) -> deque[float] | None:
        """Times of the last minute's failures; None: too many peers to tell."""
        now = self._clock.monotonic()
        tries = self._by_peer.get(name)
        if tries is None:
            if len(self._by_peer) >= MAX_PEERS:
                self._by_peer = {k: t for k, t in self._by_peer.items() if now - t[-1] <= 60}
            return None if len(self._by_peer) >= MAX_PEERS else deque()
        while tries and now - tries[0] > 60:
            tries.popleft()
        if not tries:
            del self._by_peer[name]
        return tries


def network(peer: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 that one IPv6 customer is given."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def csrf_of(cookie: str) -> str:
    """The token that proves that a page of this server sent a request; derived from the cookie,
    which no script and no other site can read."""
    mac = hmac.digest(cookie.encode(), b"barograph csrf", "sha256")
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _mark(token: str, salt: str) -> str:
    """Which configured token opened a session; slow to try words against."""
    return hashlib.pbkdf2_hmac("sha256", token.encode(), bytes.fromhex(salt), 100_000).hex()[:32]
