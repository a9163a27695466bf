"""Tokens, sessions and the limit of attempts. Numbers: the list of security requirements."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from serving import wait_for
from sites import API, Site, running_site
from websockets.exceptions import ConnectionClosed

from barograph.clock import SystemClock
from barograph_api.access import (
    ABSOLUTE_MS,
    FAILURES_PER_MINUTE,
    IDLE_MS,
    MAX_PEERS,
    MAX_SESSIONS,
    Access,
    AccessError,
    Failures,
    csrf_of,
    network,
)
from barograph_api.guard import COOKIE, cookie_name, set_cookie


class Hands(SystemClock):
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


def stored(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "access.json").read_text())
    return found


# 2: a random admin token at the first start, stored hashed.


def test_02_the_first_start_makes_a_token_that_works_for_good(tmp_path: Path) -> None:
    first = Access(Hands(), tmp_path)
    second = Access(Hands(), tmp_path)
    assert len(first.link_token) >= 32
    assert second.opens(first.link_token)
    assert second.opens(second.link_token)
    assert not Access(Hands(), tmp_path).opens(second.link_token), "a link ends with its run"
    assert not second.opens("")
    assert not second.opens(first.link_token[:-1])


def test_02_two_installations_have_different_tokens(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = Access(Hands(), tmp_path / "a"), Access(Hands(), tmp_path / "b")
    assert one.link_token != other.link_token
    assert not one.opens(other.link_token)


def test_02_nothing_that_opens_the_server_is_on_the_disk_in_clear(tmp_path: Path) -> None:
    access = Access(Hands(), tmp_path)
    cookie = access.begin()
    path = tmp_path / "access.json"
    text = path.read_text()
    for secret in (access.link_token, access.local_token, cookie, csrf_of(cookie)):
        assert secret not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for value in (stored(tmp_path)["token"], stored(tmp_path)["sessions"][0][0]):
        assert not access.opens(value)
        assert access.find(value) is None


def test_02_the_file_is_private_even_when_it_was_not(tmp_path: Path) -> None:
    Access(Hands(), tmp_path)
    path = tmp_path / "access.json"
    path.chmod(0o644)
    Access(Hands(), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_02_a_configured_token_takes_the_place_of_all_made_here(tmp_path: Path) -> None:
    admin = Access(Hands(), tmp_path).link_token
    access = Access(Hands(), tmp_path, "a token of sixteen or more")
    assert access.link_token == ""
    assert access.opens("a token of sixteen or more")
    assert not access.opens(admin)
    assert not access.opens("")
    assert "sixteen" not in (tmp_path / "access.json").read_text()


def test_02_a_short_token_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="BAROGRAPH_TOKEN is too short: it needs 16"):
        Access(Hands(), tmp_path, "short")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sessions": 5}', '{"salt": "x"}',
                                  '{"sessions": [[1, 2, 3, 4]]}', '{"sessions": [["a", "b"]]}',
                                  '{"sessions": [["a", "b", "c", "d"]]}', "\x00"])  # fmt: skip
def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "access.json").write_text(text)
    with pytest.raises(AccessError, match=r"access.json is damaged .*; delete it"):
        Access(Hands(), tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="cannot write"):
        Access(Hands(), tmp_path / "missing")


# 6: sessions.


def test_06_a_session_survives_a_restart_and_its_csrf_token_with_it(tmp_path: Path) -> None:
    clock = Hands()
    cookie = Access(clock, tmp_path).begin()
    assert Access(clock, tmp_path).find(cookie) is not None


def test_06_a_session_ends_when_it_is_not_used(tmp_path: Path) -> None:
    clock = Hands()
    access = Access(clock, tmp_path)
    cookie, other = access.begin(), access.begin()
    for _ in range(3):
        clock.ms += IDLE_MS - 1
        assert access.find(cookie) is not None
    assert access.find(other) is None
    clock.ms += IDLE_MS + 1
    assert access.find(cookie) is None
    assert Access(clock, tmp_path).find(cookie) is None


def test_06_a_session_ends_after_a_week_however_it_is_used(tmp_path: Path) -> None:
    clock = Hands()
    access = Access(clock, tmp_path)
    cookie = access.begin()
    end = clock.ms + ABSOLUTE_MS
    while clock.ms + IDLE_MS // 2 < end:
        clock.ms += IDLE_MS // 2
        assert access.find(cookie) is not None
    clock.ms = end + 1
    assert access.find(cookie) is None
    assert stored(tmp_path)["sessions"] == []


def test_06_a_session_ends_with_the_token_that_opened_it(tmp_path: Path) -> None:
    clock = Hands()
    mine = Access(clock, tmp_path).begin()
    old = Access(clock, tmp_path, "the first token chosen")
    assert old.find(mine) is None
    cookie = old.begin()
    assert Access(clock, tmp_path, "the first token chosen").find(cookie) is not None
    assert Access(clock, tmp_path, "another token, after a leak").find(cookie) is None
    assert Access(clock, tmp_path).find(cookie) is None


def test_06_sessions_are_bounded_and_the_least_used_goes(tmp_path: Path) -> None:
    clock = Hands()
    access = Access(clock, tmp_path)
    access._write = lambda: None  # type: ignore[method-assign]  # a thousand writes test nothing
    cookies = []
    for _ in range(MAX_SESSIONS + 5):
        clock.ms += 1
        cookies.append(access.begin())
        access.find(cookies[0])
    assert access.find(cookies[0]) is not None
    assert [access.find(cookie) is None for cookie in cookies[1:7]] == [True] * 5 + [False]
    assert len(access._sessions) == MAX_SESSIONS


def test_a_disk_that_refuses_ends_no_session(tmp_path: Path, capfd: Any) -> None:
    access = Access(Hands(), tmp_path / "..")
    access._path = tmp_path / "gone" / "access.json"
    for _ in range(3):
        cookie = access.begin()
        assert access.find(cookie) is not None
    assert capfd.readouterr().err.count("sessions are not kept over a restart") == 1
    (tmp_path / "gone").mkdir()
    access.keep()
    assert len(stored(tmp_path / "gone")["sessions"]) == 3


class SessionMachine(RuleBasedStateMachine):
    """Sessions against a dict of what each cookie was given and when."""

    cookies = Bundle("cookies")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.clock = Hands()
        self.access = Access(self.clock, Path(self.folder.name))
        self.model: dict[str, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def lives(self, cookie: str) -> bool:
        if cookie not in self.model:
            return False
        born, used = self.model[cookie]
        return self.clock.ms - born <= ABSOLUTE_MS and self.clock.ms - used <= IDLE_MS

    @rule(target=cookies)
    def begin(self) -> str:
        cookie = self.access.begin()
        self.model[cookie] = (self.clock.ms, self.clock.ms)
        return cookie

    @rule(target=cookies, old=consumes(cookies))
    def rotate(self, old: str) -> str:
        cookie = self.access.begin(old)
        self.model.pop(old, None)
        self.model[cookie] = (self.clock.ms, self.clock.ms)
        return cookie

    @rule(cookie=cookies)
    def use(self, cookie: str) -> None:
        found = self.access.find(cookie)
        assert (found is not None) == self.lives(cookie)
        if found is not None:
            self.model[cookie] = (self.model[cookie][0], self.clock.ms)
        else:
            self.model.pop(cookie, None)

    @rule(cookie=cookies)
    def end(self, cookie: str) -> None:
        self.access.end(cookie)
        self.model.pop(cookie, None)
        assert self.access.find(cookie) is None

    @rule(hours=st.sampled_from([0, 1, 11, 12, 13, 100]))
    def wait(self, hours: int) -> None:
        self.clock.ms += hours * 3_600_000

    @rule()
    def restart(self) -> None:
        self.access.keep()
        self.access = Access(self.clock, Path(self.folder.name))

    @invariant()
    def strangers_stay_out(self) -> None:
        assert self.access.find("x") is None
        assert self.access.find("") is None


TestSessions = SessionMachine.TestCase
TestSessions.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)


def test_06_the_cookie_is_for_this_server_only_and_no_script_reads_it(site: Site) -> None:
    with site.stranger_client() as client:
        told = client.get(f"/?token={site.token}").headers["set-cookie"]
    assert re.fullmatch(
        rf"{COOKIE}_{site.port}=[\w-]{{43}}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800",
        told,
    )


def test_06_the_cookie_is_secure_where_the_browser_came_by_tls(site: Site) -> None:
    assert b"; Secure" in set_cookie("host", "x", secure=True)
    with site.stranger_client(headers={"origin": site.base.replace("http:", "https:")}) as client:
        answer = client.post("/login", data={"token": site.token})
        assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(("host", "name"), [("localhost:80", f"{COOKIE}_80"), ("a.b", COOKIE),
                                            ("[::1]", COOKIE), ("[::1]:99", f"{COOKIE}_99"),
                                            ("x:evil;", COOKIE), ("", COOKIE)])  # fmt: skip
def test_06_each_port_has_a_cookie_of_its_own(host: str, name: str) -> None:
    assert cookie_name(host) == name


def test_06_the_link_gives_a_session_and_leaves_the_address(site: Site) -> None:
    with site.stranger_client() as client:
        answer = client.get(f"/?token={site.token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["cache-control"] == "no-store"
        assert site.token not in str(answer.headers)
        assert client.get("/").text.startswith("<!doctype html>")


def test_06_logging_in_again_ends_the_session_before(site: Site) -> None:
    with site.browser() as client:
        before = dict(client.cookies)
        client.get(f"/?token={site.token}")
        assert dict(client.cookies) != before
        assert client.get(f"{API}/status").status_code == 200
        middle = dict(client.cookies)
        assert client.post("/login", data={"token": site.token}).headers["location"] == "/"
        for old in (before, middle):
            with site.stranger_client(cookies=old) as thief:
                assert thief.get(f"{API}/status").status_code == 401


def test_06_a_session_that_someone_planted_is_not_taken_over(site: Site) -> None:
    planted = {f"{COOKIE}_{site.port}": "planted"}
    with site.stranger_client(cookies=planted) as client:
        client.get(f"/?token={site.token}")
        assert client.get(f"{API}/status").status_code == 200
    with site.stranger_client(cookies=planted) as thief:
        assert thief.get(f"{API}/status").status_code == 401


def test_06_logging_out_ends_the_session_on_the_server(site: Site) -> None:
    with site.browser() as client:
        kept = dict(client.cookies)
        answer = client.post("/logout", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert not client.cookies
    with site.stranger_client(cookies=kept) as thief:
        assert thief.get(f"{API}/status").status_code == 401


def test_06_each_session_has_a_csrf_token_of_its_own(site: Site) -> None:
    with site.browser() as one, site.browser() as other:
        assert one.headers["x-csrf-token"] != other.headers["x-csrf-token"]
        one.headers["x-csrf-token"] = other.headers["x-csrf-token"]
        answer = one.post(f"{API}/range", json={"start": 0, "end": 1, "queries": []})
        assert answer.status_code == 403


def test_06_a_tab_keeps_working_over_a_restart(tmp_path: Path) -> None:
    with running_site(tmp_path) as site, site.browser() as client:
        first_token, headers = site.token, dict(client.headers)
        cookies = dict(client.cookies)
    with running_site(tmp_path, server={"port": int(site.port)}) as again:
        assert again.token != first_token
        with again.stranger_client(cookies=cookies, headers=headers) as client:
            answer = client.post(f"{API}/range", json={"start": 0, "end": 1, "queries": []})
            assert answer.status_code == 200
        for token in (first_token, again.token):
            headers = {"authorization": f"bearer {token}"}
            assert httpx.get(f"{again.base}{API}/status", headers=headers).status_code == 200


# 8: a socket whose session has ended is closed, also while no tick comes.


def test_08_a_revoked_session_closes_its_socket_though_no_tick_comes(own_site: Site) -> None:
    site = own_site
    for runner in list(site.monitor.collector.runners):
        site.monitor.collector.remove(runner)
    with site.browser() as client:
        headers = {"cookie": site.cookie(client)}
        with site.live(additional_headers=headers, origin=site.base) as socket:
            client.post("/logout", headers={"content-type": "application/json"})
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


def test_08_a_session_that_runs_out_closes_its_socket(own_site: Site) -> None:
    site = own_site
    with site.browser() as client:
        headers = {"cookie": site.cookie(client)}
        with site.live(additional_headers=headers, origin=site.base) as socket:
            site.clock.ahead_s += ABSOLUTE_MS / 1000 + 1
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


# 11: ten failed attempts a minute.


def failed(client: httpx.Client, **named: Any) -> int:
    return client.post("/login", data={"token": "wrong"}, **named).status_code


def test_11_ten_wrong_tokens_a_minute_and_then_none_is_looked_at(own_site: Site) -> None:
    site = own_site
    here = {"origin": site.base}
    with site.stranger_client(headers=here) as client, site.browser() as browser:
        for _ in range(20):
            assert client.post("/login", data={"token": site.token}).headers["location"] == "/"
        client.cookies.clear()
        assert [failed(client) for _ in range(FAILURES_PER_MINUTE)] == [303] * FAILURES_PER_MINUTE
        answer = client.post("/login", data={"token": "wrong"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        right = client.post("/login", data={"token": site.token})
        assert (right.status_code, right.text) == (429, answer.text)
        assert client.get(f"/?token={site.token}").status_code == 429
        assert client.get("/?token=wrong").status_code == 429
        assert browser.get(f"{API}/status").status_code == 200, "who is in stays in"
        site.clock.ahead_s += 61
        assert failed(client) == 303
        assert client.get(f"/?token={site.token}").headers["location"] == "/"


def test_11_a_forged_address_is_no_way_around_the_limit(own_site: Site) -> None:
    with own_site.stranger_client() as client:
        told = [
            failed(client, headers={"x-forwarded-for": f"10.0.0.{i}", "x-real-ip": f"10.0.0.{i}",
                                    "forwarded": f"for=10.0.0.{i}"})
            for i in range(FAILURES_PER_MINUTE + 3)
        ]  # fmt: skip
    assert told == [303] * FAILURES_PER_MINUTE + [429] * 3


def test_11_the_ways_in_share_one_limit(own_site: Site) -> None:
    site = own_site
    with site.stranger_client() as client:
        for i in range(FAILURES_PER_MINUTE):
            if i % 3 == 0:
                assert failed(client) == 303
            elif i % 3 == 1:
                assert client.get("/?token=wrong").headers["location"] == "/login?failed=1"
            else:
                wrong = {"authorization": "Bearer wrong"}
                assert client.get(f"{API}/status", headers=wrong).status_code == 401
        assert failed(client) == 429
        wrong = {"authorization": "Bearer wrong"}
        assert client.get(f"{API}/status", headers=wrong).status_code == 429


def test_11_nobody_can_lock_the_bearer_of_a_random_token_out(own_site: Site) -> None:
    with own_site.stranger_client() as client:
        for _ in range(FAILURES_PER_MINUTE + 1):
            failed(client)
    with own_site.bearer() as script:
        assert script.get(f"{API}/status").status_code == 200


def test_11_a_configured_token_cannot_be_guessed_by_bearer_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_TOKEN", "correct horse battery")
    with running_site(tmp_path) as site, site.stranger_client() as client:
        assert site.token == "", "a token of the administrator's is not printed"
        right = {"authorization": "Bearer correct horse battery"}
        assert client.get(f"{API}/status", headers=right).status_code == 200
        for _ in range(FAILURES_PER_MINUTE):
            client.get(f"{API}/status", headers={"authorization": "Bearer wrong"})
        assert client.get(f"{API}/status", headers=right).status_code == 429
        site.clock.ahead_s += 61
        assert client.get(f"{API}/status", headers=right).status_code == 200


def test_11_the_memory_of_failures_is_bounded_and_cannot_be_flushed() -> None:
    clock = Hands()
    failures = Failures(clock)
    for _ in range(FAILURES_PER_MINUTE):
        failures.add("192.0.2.1")
    for i in range(MAX_PEERS + 100):
        failures.add(f"peer {i}")
    assert len(failures._by_peer) == MAX_PEERS
    assert failures.blocked("192.0.2.1")
    assert failures.blocked("another"), "too many to tell apart"
    clock.ms += 61_000
    assert not failures.blocked("192.0.2.1")
    assert not failures.blocked("another")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("?", "?", True),
    ],
)
def test_11_an_ipv6_customer_is_one_peer(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


# 19: secrets are never in answers or logs.


def test_19_no_answer_and_no_log_holds_a_token(own_site: Site, capfd: Any) -> None:
    site = own_site
    secrets = [site.token, site.access.local_token]
    with site.browser() as client:
        secrets.append(next(iter(client.cookies.jar)).value or "")
        for path in ("status", "dashboard", "plugins", "metrics", "series?match=barograph_viewers",
                     "openapi/openapi.json"):  # fmt: skip
            text = client.get(f"{API}/{path}").text
            assert not [secret for secret in secrets if secret in text], path
        client.get(f"/nothing?token={site.token}")
        client.get("/api/plugins/stranger/fail", params={"token": site.token})
        client.post("/login", data={"token": site.token + "x"})
    said = capfd.readouterr()
    assert not [secret for secret in secrets if secret in said.out + said.err]


def test_19_the_local_token_is_for_this_user_only_and_goes_with_the_server(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "server.json"
    path.write_text("left by another")
    path.chmod(0o666)
    with running_site(tmp_path) as site:
        told = json.loads(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert told["url"] == site.base + "/"
        assert told["pid"] == os.getpid()
        headers = {"authorization": f"Bearer {told['token']}"}
        assert httpx.get(f"{site.base}{API}/status", headers=headers).status_code == 200
    wait_for(lambda: not path.exists())
