"""Who may ask what. Numbers in comments: the project's list of security requirements."""

from __future__ import annotations

import functools
import itertools
import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import wait_for
from sites import API, Site
from websockets.exceptions import InvalidStatus

from barograph_api import guard
from barograph_api.answers import HEADERS
from barograph_api.guard import MAX_DEPTH, too_deep

JSON = {"content-type": "application/json"}


def routes(site: Site) -> list[tuple[str, str]]:
    """(method, path) of every HTTP route that the application knows."""
    found = [
        (method, route.path)
        for route in site.guard._app.routes
        for method in sorted(getattr(route, "methods", ()))
    ]
    assert len(found) > 30
    return found


# 3: every route needs a session or token, but those on a listed public set.


def test_03_every_route_but_the_public_ones_answers_401_to_a_stranger(site: Site) -> None:
    public = {"/healthz", "/readyz", "/login", "/assets/login-1.css", "/api/plugins/stranger/open"}
    assert site.guard.public == public
    with site.stranger_client(headers={"origin": site.base, **JSON}) as client:
        for method, path in routes(site):
            answer = client.request(method, path)
            if path in public:
                assert answer.status_code != 401, (method, path)
            else:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"


def test_03_paths_that_do_not_exist_do_not_tell_so_to_a_stranger(site: Site) -> None:
    for path in ("/nothing", f"{API}/nothing", "/login/", "/healthz/", "//healthz", "/metrics"):
        assert site.get_raw(path)[0] == 401, path


@pytest.mark.parametrize("path", [f"{API}/live", "/healthz", "/login", "/", f"{API}/dashboard"])
def test_03_a_websocket_without_credentials_is_refused_with_401(site: Site, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        site.live(path, origin=site.base, additional_headers={})
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["title"] == "Unauthorized"


def test_03_files_and_openapi_are_there_with_a_token(site: Site) -> None:
    with site.bearer() as client:
        for path in ("/", "/secret.txt", f"{API}/openapi/openapi.json", f"{API}/status",
                     "/plugins/stranger/static/own.js"):  # fmt: skip
            expected = 404 if path.startswith("/plugins") else 200  # an object has no package
            assert client.get(path).status_code == expected, path


def test_a_browser_without_a_session_is_led_to_the_login_page(site: Site) -> None:
    with site.stranger_client() as client:
        answer = client.get("/?range=1h", headers={"accept": "text/html,*/*"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert client.get("/login").text == "".join(client.get("/login").text)
        assert "sign in" in client.get("/login").text
        assert client.get("/assets/login-1.css").status_code == 200


# 7: changing requests by cookie need a CSRF token and a matching Origin.


def changing(site: Site) -> list[tuple[str, str]]:
    return [(m, p) for m, p in routes(site) if m not in ("GET", "HEAD", "OPTIONS")]


def test_07_every_changing_route_needs_the_csrf_token_and_the_origin(site: Site) -> None:
    assert changing(site)
    with site.browser() as client:
        token = client.headers.pop("x-csrf-token")
        for method, path in changing(site):
            if path == "/login":
                continue
            for headers in (
                {},
                {"x-csrf-token": "wrong"},
                {"x-csrf-token": token[:-1]},
                {"x-csrf-token": token, "origin": "http://evil.example"},
                {"x-csrf-token": token, "origin": "null"},
                {"x-csrf-token": token, "origin": ""},
                {"x-csrf-token": token, "origin": f"http://127.0.0.1:{site.port + 1}"},
                {"x-csrf-token": token, "sec-fetch-site": "cross-site"},
                {"x-csrf-token": token, "sec-fetch-site": "same-site"},
            ):
                answer = client.request(method, path, headers=JSON | headers, content=b"{}")
                assert answer.status_code == 403, (method, path, headers)
        fine = {"start": 0, "end": 1000, "queries": []}
        answer = client.post(f"{API}/range", json=fine, headers={"x-csrf-token": token})
        assert answer.status_code == 200


def test_07_a_request_by_cookie_without_any_origin_is_refused(site: Site) -> None:
    with site.browser() as client:
        del client.headers["origin"]
        answer = client.post(f"{API}/range", json={"start": 0, "end": 1, "queries": []})
        assert answer.status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "image/png",
                                  "text/plain; application/json", "application/jsonx"])  # fmt: skip
def test_07_bodies_that_a_form_of_another_site_could_send_are_refused(
    site: Site, kind: str
) -> None:
    body = json.dumps({"start": 0, "end": 1, "queries": []})
    with site.browser() as client:
        answer = client.post(f"{API}/range", content=body, headers={"content-type": kind})
        assert answer.status_code == 415
    with site.stranger_client() as client:
        answer = client.post("/login", content="token=x", headers={"content-type": kind})
        assert answer.status_code == 415
    with site.bearer() as client:
        answer = client.post(f"{API}/range", content=body, headers={"content-type": kind})
        assert (answer.status_code == 415) == kind.startswith("text/plain")


def test_07_another_sites_form_cannot_log_a_browser_in(site: Site) -> None:
    with site.stranger_client(headers={"origin": "http://evil.example"}) as client:
        answer = client.post("/login", data={"token": site.token})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


# 8: the WebSocket's Origin is checked.


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None, "http://127.0.0.1:1"])
def test_08_a_live_connection_by_cookie_needs_this_servers_origin(
    site: Site, origin: str | None
) -> None:
    with site.browser() as client:
        headers = {"cookie": site.cookie(client)}
        with pytest.raises(InvalidStatus) as refused:
            site.live(additional_headers=headers, origin=origin)
        assert refused.value.response.status_code == 403
        with site.live(additional_headers=headers, origin=site.base) as socket_:
            socket_.send('{"type":"ping"}')
            assert json.loads(socket_.recv(5)) == {"type": "pong"}


def test_08_a_token_in_the_query_opens_no_socket_and_no_route(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        site.live(f"{API}/live?token={site.token}", origin=site.base, additional_headers={})
    assert refused.value.response.status_code == 401
    assert site.get_raw(f"{API}/status?token={site.token}")[0] == 401


# 9: Host is an exact allow-list.


def test_09_the_names_of_loopback_are_known_with_any_port(site: Site) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST:9000", f"127.0.0.1:{site.port}"):
        assert site.get_raw("/healthz", host=host)[0] == 200, host


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost",
     "127a0b0c1", "127.0.0.2", ".*", "*", "localhost|evil", "localhost:80:80", "localhost:x",
     "localhost:", "user@localhost", "localhost/x", "localhost, evil.example", "127.0.0.1.",
     "localhost.", "[::1", "::1", "[::1]x", "[127.0.0.1]x", "0.0.0.0", " ", "localhost evil"],
)  # fmt: skip
def test_09_any_other_host_is_refused_with_400(site: Site, host: str) -> None:
    status, text = site.get_raw("/healthz", host=host)
    assert status == 400, text
    assert site.get_raw(f"/?token={site.token}", host=host)[0] == 400


def test_09_a_missing_host_is_refused_whatever_is_forwarded(site: Site) -> None:
    assert site.get_raw("/healthz", host=None)[0] == 400
    for line in ("X-Forwarded-Host: localhost", "Forwarded: host=localhost", "X-Host: localhost"):
        assert site.get_raw("/healthz", line, host=None)[0] == 400, line
        assert site.get_raw("/healthz", line, host="evil.example")[0] == 400, line
    old = site.raw(b"GET /healthz HTTP/1.0\r\nX-Forwarded-Host: localhost\r\n\r\n")
    assert old.startswith(b"HTTP/1.1 400 ")


def test_09_forwarded_headers_change_nothing(site: Site) -> None:
    for line in ("X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https",
                 "X-Forwarded-For: 10.0.0.1"):  # fmt: skip
        assert site.get_raw("/healthz", line)[0] == 200


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization"])
def test_09_a_header_that_decides_may_come_only_once(site: Site, name: str) -> None:
    lines = [f"{name}: localhost"] * 2
    host = None if name == "Host" else ""
    assert site.get_raw("/healthz", *lines, host=host)[0] == 400


def test_09_a_target_with_a_host_of_its_own_changes_nothing(site: Site) -> None:
    assert site.get_raw("http://evil.example/healthz")[0] == 200
    assert site.get_raw("http://localhost/healthz", host="evil.example")[0] == 400


# 10: CORS is off.


def test_10_no_answer_allows_another_origin(site: Site) -> None:
    with site.browser() as client:
        for method, path in routes(site):
            if path == "/logout" or path.endswith("/hang"):
                continue
            answer = client.request(
                method, path, headers={"origin": "http://evil.example",
                                       "access-control-request-method": "POST"},
            )  # fmt: skip
            told = [name for name in answer.headers if name.startswith("access-control-")]
            assert told == [], (method, path)


# 12: what is sent is bounded.


def test_12_a_body_over_a_mebibyte_is_refused(site: Site) -> None:
    with site.bearer() as client:
        fitting = b'{"start":0,"end":1,"queries":[]}'.ljust(2**20)
        assert client.post(f"{API}/range", content=fitting, headers=JSON).status_code == 200
        answer = client.post(f"{API}/range", content=fitting + b" ", headers=JSON)
        assert answer.status_code == 413

        def chunks() -> Any:
            for _ in range(40):
                yield b" " * 2**15

        answer = client.post(f"{API}/range", content=chunks(), headers=JSON)
        assert answer.status_code == 413


def test_12_a_stranger_may_send_no_more_than_a_login(site: Site) -> None:
    with site.stranger_client() as client:
        answer = client.post("/login", data={"token": "x" * 5000})
        assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "99999999999999999999999", "+5", "٣"])
def test_12_a_length_that_is_none_is_refused(site: Site, length: str) -> None:
    head = (f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
            "Content-Type: application/json\r\n\r\n")  # fmt: skip
    status = int(site.raw(head.encode("utf-8")).split()[1])
    assert status in (400, 413)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_12_deeply_nested_json_is_refused(site: Site, open_: str, close: str) -> None:
    for depth in (MAX_DEPTH + 1, 100_000):
        body = open_ * depth + "1" + close * depth
        with site.bearer() as client:
            answer = client.post(f"{API}/range", content=body, headers=JSON)
            assert answer.status_code == 400
            assert "nested" in answer.json()["detail"]


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


_text = st.text(alphabet='[]{}"\\ab')
_json = st.recursive(
    st.integers() | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=60,
)


@given(_json, st.integers(0, 40))
def test_12_depth_is_that_of_the_parsed_value(value: Any, more: int) -> None:
    for _ in range(more):
        value = [value]
    assert too_deep(json.dumps(value).encode()) == (depth_of(value) > MAX_DEPTH)


def test_12_looking_for_depth_takes_linear_time_in_texts_that_do_not_end() -> None:
    # Steps, not seconds: a quadratic search would not end within the test run.
    assert not too_deep(b"[" * 30 + b'"\\' * 500_000 + b"{" * 5)


def test_12_a_head_that_does_not_end_is_cut_off(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr("barograph_api.connections.HEAD_SECONDS", 0.3)
    for start in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        with socket.create_connection(("127.0.0.1", site.port), 5) as peer:
            peer.sendall(start)
            answer = b"".join(iter(functools.partial(peer.recv, 4096), b""))
        assert answer == b"" if not start else answer.startswith(b"HTTP/1.1 408 ")


def test_12_a_head_without_end_or_measure_is_cut_off(site: Site) -> None:
    for start in (b"GET /", b"GET / HTTP/1.1\r\nX-A: "):
        with socket.create_connection(("127.0.0.1", site.port), 5) as peer:
            sent = 0
            try:
                peer.sendall(start)
                for _ in itertools.count():
                    sent += peer.send(b"a" * 16384)
                    assert sent < 32 * 2**20, "the server takes a head of any length"
            except (ConnectionError, BrokenPipeError):
                pass
    assert site.get_raw("/healthz")[0] == 200


def test_12_a_body_that_does_not_come_is_given_up(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    head = (f"POST {API}/range HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nAuthorization: "
            f"Bearer {site.token}\r\nContent-Type: application/json\r\n\r\n{{")  # fmt: skip
    with socket.create_connection(("127.0.0.1", site.port), 5) as peer:
        peer.sendall(head.encode())
        assert peer.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_12_connections_are_bounded(own_site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr("barograph_api.connections.MAX_CONNECTIONS", 5)
    held = [socket.create_connection(("127.0.0.1", own_site.port), 5) for _ in range(8)]
    try:
        for peer in held:
            peer.settimeout(0.5)

        def closed() -> int:
            count = 0
            for peer in held:
                try:
                    count += peer.recv(1) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    count += 1
            return count

        assert closed() >= 3
    finally:
        for peer in held:
            peer.close()
    wait_for(lambda: own_site.get_raw("/healthz")[0] == 200)


# 14: paths lead nowhere but to the files of the page.


TRAVERSALS = [
    "/../secret", "/..%2fsecret.txt", "/%2e%2e/pyproject.toml", "/%2e%2e%2fapp.py",
    "/assets/../../app.py", "/assets/..%2f..%2fapp.py", "/assets/%2e%2e/%2e%2e/app.py",
    "/assets/%252e%252e/app.py", "/..%252f..%252fetc/passwd", "/..\\..\\etc\\passwd",
    "/..%5c..%5cetc%5cpasswd", "/assets/..%5capp.py", "//etc/passwd", "/%2fetc%2fpasswd",
    "/etc/passwd", "/assets/%00main-1.js", "/assets/main-1.js%00.html", "/assets/main-1.js/",
    "/assets/./main-1.js", "//assets/main-1.js", "/assets//main-1.js", "/assets", "/assets/",
    "/static/index.html", "/page/secret.txt", "/link.txt", "/linked/secret.txt", "/.hidden",
    "/%c0%ae%c0%ae/app.py", "/assets/main-1.js;x", "/ASSETS/main-1.js", "/assets/main-1%2ejs%20",
    "/plugins/stranger/static/../__init__.py", "/plugins/../app.py", "/plugins/system/widgets.py",
    "/index.html", "/login.html", "file:///etc/passwd", "/%3a%2f%2fetc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS)
def test_14_no_spelling_of_a_path_leads_out_of_the_page(site: Site, target: str) -> None:
    status, text = site.get_raw(target, f"Authorization: Bearer {site.token}")
    assert status in (404, 400), text
    assert "root:" not in text
    assert "import " not in text


def test_14_links_are_not_served(tmp_path: Any) -> None:
    from barograph_api.files import read_files

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    page = tmp_path / "page"
    page.mkdir()
    (page / "real.txt").write_text("real")
    (page / "link.txt").symlink_to(outside / "secret.txt")
    (page / "linked").symlink_to(outside)
    (page / "loop").symlink_to(page)
    assert set(read_files(page)) == {"/real.txt"}
    whole = tmp_path / "whole"
    whole.symlink_to(outside)
    assert read_files(whole) == {}


# 16: security headers.


def test_16_every_answer_has_the_security_headers(site: Site) -> None:
    answers: dict[Any, httpx.Headers] = {}
    with site.bearer() as client, site.stranger_client() as stranger, site.browser() as browser:
        for method, path in routes(site):
            if path.endswith("/hang"):
                continue
            answers[method, path, "bearer"] = client.request(method, path, headers=JSON).headers
            answers[method, path, "stranger"] = stranger.request(method, path).headers
        answers["redirect"] = browser.get(f"/?token={site.token}").headers
        answers["not found"] = client.get("/nothing").headers
        answers["defect"] = client.get("/api/plugins/stranger/fail").headers
        answers["bad host"] = client.get("/", headers={"host": "evil.example"}).headers
    for what, headers in answers.items():
        for name, value in HEADERS:
            assert headers.get_list(name.decode()) == [value.decode()], (what, name)
        assert headers.get_list("cache-control"), what
    raw = site.raw(b"this is not HTTP\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 400 ")
    for name, value in HEADERS:
        assert name + b": " + value + b"\r\n" in raw


def test_16_the_policy_allows_nothing_inline_and_no_other_host() -> None:
    policy = dict(HEADERS)[b"content-security-policy"].decode()
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'self'"
    assert parts["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


# 17: redirects go to this server's own relative paths.


@pytest.mark.parametrize("more", ["", "&next=//evil.example", "&next=https://evil.example",
                                  "&next=/%5Cevil.example", "&url=//evil.example"])  # fmt: skip
def test_17_no_redirect_leaves_this_server(site: Site, more: str) -> None:
    page = {"accept": "text/html"}
    wrong = {"token": "wrong", "next": "//evil.example"}
    for expected, method, target, more_given in (
        ("/", "GET", f"/?token={site.token}{more}", {}),
        ("/login?failed=1", "GET", f"/?token=wrong{more}", {"headers": page}),
        ("/login", "GET", f"/x?y{more}", {"headers": page}),
        ("/login", "GET", f"/?x{more}", {"headers": page}),
        ("/", "POST", f"/login?x{more}", {"data": {"token": site.token}}),
        ("/login?failed=1", "POST", f"/login?x{more}", {"data": wrong}),
    ):
        with site.stranger_client() as client:
            answer = client.request(method, target, **more_given)  # type: ignore[arg-type]
            assert (answer.status_code, answer.headers["location"]) == (303, expected)
    for target in ("//evil.example/%2e%2e", "/\\\\evil.example", "/%5cevil.example", "/https:evil"):
        assert "\r\nlocation: /login\r\n" in site.get_raw(target, "Accept: text/html")[1]
    site.clock.ahead_s += 61  # the wrong tokens above count


# 29: an error carries an id and no trace.


def test_29_an_error_has_an_id_and_no_trace(site: Site, capfd: Any) -> None:
    with site.bearer() as client:
        answer = client.get("/api/plugins/stranger/fail")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["title"] == "Internal Server Error"
    for told in ("Traceback", "KeyError", "secret-path", ".py"):
        assert told not in answer.text
    log = capfd.readouterr().err
    assert body["id"] in log
    assert "KeyError" in log


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"start":"x"}', b"\xff\xfe",
                                     b'{"start":1e400,"end":1,"queries":[]}',
                                     b'{"start":0,"end":1,"queries":[{"match":[1]}]}',
                                     b'{"start":0,"end":1,"queries":[{"match":["{"]}]}',
                                     b'{"start":0,"end":1,"queries":[{"match":["a"],"fn":"x"}]}',
                                     b'{"start":-1,"end":1,"queries":[]}',
                                     b'{"start":5,"end":1,"queries":[{"match":["a"]}]}',
                                     b'{"start":0,"end":99999999999999999999,"queries":[]}',
                                     ])  # fmt: skip
def test_29_nonsense_is_told_as_a_problem(site: Site, content: bytes) -> None:
    with site.bearer() as client:
        answer = client.post(f"{API}/range", content=content, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"], body["title"]) == ("about:blank", 400, "Bad Request")
    assert "Traceback" not in answer.text


def test_29_http_nonsense_never_ends_the_server(site: Site) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n",
                     b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n" * 1000,
                     b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"):  # fmt: skip
        assert b"Traceback" not in site.raw(nonsense, 2), nonsense
    wait_for(lambda: site.get_raw("/healthz")[0] == 200)
