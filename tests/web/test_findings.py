"""Findings: listed, opened with their evidence, judged, marked on charts, and always only text."""

from __future__ import annotations

import itertools
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from driving import Driver
from serving import Server

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"
LOAD = {"__name__": "system_load_average", "period": "1m"}
_NUMBER = itertools.count(1)


class Seer:
    """Lets the server of the tests find what a test wants it to find."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.scored: set[str] = set()

    def see(self, title: str, **told: Any) -> str:
        """The id of a finding of the last seconds about the load, unless told otherwise."""
        now = int(time.time() * 1000)
        span = {"start_ms": now - 30_000, "end_ms": now - 10_000}
        around = {"start_ms": now - 60_000, "end_ms": now, "note": "Load around it."}
        observation = {
            "kind": "anomaly", "fingerprint": str(next(_NUMBER)), "title": title,
            "text": "It was 3.9, usually it is 1.1.", "severity": "warning", "confidence": 0.87,
            **span, "labels": LOAD,
            "evidence": [{"query": 'system_load_average{period="1m"}', **around}], **told,
        }  # fmt: skip
        found = self._post("/api/plugins/seer/see", observation)
        return str(found["id"])

    def change(self, which: str, state: str) -> None:
        self._post(f"/api/barograph/v1/findings/{which}", {"state": state, "note": ""})

    def finding(self, which: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self._server.get(f"/api/barograph/v1/findings/{which}")[1]
        )
        return found

    def score(self, metric: str, labels: dict[str, str], value: float | None) -> None:
        """From the next tick on the metric has this score; None: no more."""
        self.scored.add(metric)
        told = {"metric": metric, "labels": labels, "value": value}
        self._post("/api/plugins/seer/score", told)

    def clear(self) -> None:
        """Nothing is open or acknowledged, nothing is scored."""
        for metric in self.scored:
            self.score(metric, {}, None)
        path = "/api/barograph/v1/findings?state=open,acknowledged&limit=1000"
        for one in json.loads(self._server.get(path)[1])["findings"]:
            self.change(one["id"], "dismissed")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {**self._server.headers, "Content-Type": "application/json"}
        request = urllib.request.Request(
            self._server.base_url + path, json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def seer(server: Server) -> Iterator[Seer]:
    seer = Seer(server)
    seer.clear()
    yield seer
    seer.clear()


def test_nothing_found_is_a_sentence(driver: Driver, seer: Seer) -> None:
    driver.open()
    button = driver.page.get_by_role("button", name="Findings", exact=True)
    assert button.locator(".badge").count() == 0
    button.click()
    driver.page.get_by_text("No open findings.").wait_for()
    assert driver.url == "/?findings=open"
    driver.page.get_by_role("button", name="Acknowledged", exact=True).click()
    driver.page.get_by_text("No acknowledged findings.").wait_for()
    assert driver.url == "/?findings=acknowledged"


def test_what_is_found_while_one_looks_shows_up_by_itself(driver: Driver, seer: Seer) -> None:
    driver.open("/?findings=open")
    driver.page.get_by_text("No open findings.").wait_for()
    driver.until_board("board.link === 'open'")
    seer.see("Load 3.9, usually 1.1", severity="critical", kind="change_point")
    item = driver.page.locator("barograph-findings li")
    item.wait_for()
    assert item.locator(".severity").inner_text() == "critical"
    assert item.locator(".severity svg path").count() == 1
    text = item.inner_text()
    for part in ("change point", "Load 3.9, usually 1.1", "It was 3.9", "seen once", "ago"):
        assert part in text
    badge = driver.page.locator("barograph-header .badge")
    assert badge.inner_text() == "1"
    assert driver.page.get_by_role("button", name="Findings, 1 open").is_visible()
    seer.see("Another one")
    driver.wait("e => document.querySelector('barograph-app').board.findings.count === '2'")
    assert badge.inner_text() == "2"


def test_the_same_again_counts_up_and_is_no_second_one(driver: Driver, seer: Seer) -> None:
    driver.open("/?findings=open")
    driver.until_board("board.link === 'open'")
    seer.see("Once", fingerprint="same")
    driver.page.locator("barograph-findings li").get_by_text("seen once").wait_for()
    seer.see("Twice", fingerprint="same")
    driver.page.locator("barograph-findings li").get_by_text("seen 2 times").wait_for()
    assert driver.page.locator("barograph-findings li").count() == 1


def test_a_finding_is_acknowledged_and_that_is_undone(driver: Driver, seer: Seer) -> None:
    which = seer.see("Load is high")
    driver.open("/?findings=open")
    page = driver.page
    page.get_by_role("button", name="Acknowledge: Load is high").click()
    page.get_by_text("No open findings.").wait_for()
    page.get_by_text("Acknowledged: Load is high").wait_for()
    assert seer.finding(which)["state"] == "acknowledged"
    assert page.evaluate(_FOCUSED) == "H2"
    page.get_by_role("button", name="Undo").click()
    page.locator("barograph-findings li").wait_for()
    assert seer.finding(which)["state"] == "open"


def test_a_note_goes_with_the_word_that_it_was_fine(driver: Driver, seer: Seer) -> None:
    which = seer.see("Load is high")
    driver.open(f"/?finding={which}")
    page = driver.page
    page.get_by_label("Note (optional)").fill("the nightly backup")
    page.get_by_role("button", name="This was fine").click()
    page.locator("barograph-finding .state", has_text="dismissed").wait_for()
    found = seer.finding(which)
    assert (found["state"], found["history"][-1]["note"]) == ("dismissed", "the nightly backup")
    page.locator("barograph-finding ol").get_by_text("the nightly backup").wait_for()
    assert page.get_by_role("button", name="This was fine").count() == 0
    page.get_by_role("button", name="Reopen").click()
    page.locator("barograph-finding .state", has_text="open").wait_for()
    assert seer.finding(which)["state"] == "open"


def test_a_change_that_the_server_refuses_is_told(driver: Driver, seer: Seer) -> None:
    driver.expected = ("status of 409",)
    which = seer.see("Load is high")
    driver.open(f"/?finding={which}")
    page = driver.page
    page.route(
        f"**/findings/{which}",
        lambda route: route.fulfill(
            status=409, content_type="application/problem+json", body='{"detail":"not now"}'
        ),
    )
    page.get_by_role("button", name="Acknowledge").click()
    page.locator("barograph-finding").get_by_text("Nothing has changed: not now").wait_for()
    assert page.get_by_role("button", name="Acknowledge").is_enabled()


def test_evidence_is_a_chart_with_the_span_marked_and_a_query_to_copy(
    driver: Driver, seer: Seer
) -> None:
    which = seer.see("Load is high")
    driver.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    driver.open(f"/?finding={which}")
    evidence = driver.page.locator("barograph-evidence")
    evidence.locator("canvas").wait_for()
    assert evidence.locator("li .name").inner_text() == 'system_load_average{period="1m"}'
    assert evidence.locator(".note").inner_text() == "Load around it."
    # 30 s to 10 s ago, in a minute that is shown with half a minute on both sides.
    _until(driver, lambda: len(_marked(evidence)) >= 2)
    marked = _marked(evidence)
    assert abs(min(marked) - 60 / 120) < 0.02
    assert abs(max(marked) - 80 / 120) < 0.02
    evidence.get_by_role("button", name="Copy the query").click()
    evidence.get_by_text("Copied").wait_for()
    copied = driver.page.evaluate("navigator.clipboard.readText()")
    assert copied == 'system_load_average{period="1m"}'
    evidence.get_by_role("button", name="Show all charts at this time").click()
    driver.until_board("board.range.kind === 'between'")
    found = seer.finding(which)["evidence"][0]
    shown = driver.board("[board.range.from, board.range.to]")
    assert shown[0] <= found["start_ms"] <= found["end_ms"] <= shown[1]


def test_evidence_that_fails_or_is_gone_says_so_and_spoils_no_other(
    driver: Driver, seer: Seer
) -> None:
    driver.expected = ("status of 400",)
    now = int(time.time() * 1000)
    span = {"start_ms": now - 60_000, "end_ms": now, "note": ""}
    queries = ["sum(", "nothing_like_it", "system_load_average"]
    which = seer.see("Three", evidence=[{"query": one, **span} for one in queries])
    driver.open(f"/?finding={which}", charts=False)
    bad, gone, good = (driver.page.locator("barograph-evidence").nth(i) for i in range(3))
    bad.get_by_text("This chart failed:").wait_for()
    gone.scroll_into_view_if_needed()
    gone.get_by_text("No data in this range").wait_for()
    good.scroll_into_view_if_needed()
    good.locator("canvas").wait_for()
    bad.scroll_into_view_if_needed()
    with driver.page.expect_response("**/query_range"):
        bad.get_by_role("button", name="Try again").click()


def test_evidence_out_of_sight_is_not_asked_for(driver: Driver, seer: Seer) -> None:
    now = int(time.time() * 1000)
    span = {"start_ms": now - 60_000, "end_ms": now, "note": ""}
    which = seer.see("Many", evidence=[{"query": f"up{i}", **span} for i in range(30)])
    driver.open(f"/?finding={which}", charts=False)
    driver.page.locator("barograph-evidence").first.get_by_text("No data in this range").wait_for()
    asked = [r for r in driver.requests if "query_range" in r.url]
    assert 0 < len(asked) < 10


def test_a_link_opens_a_finding_of_any_state_and_back_leaves_it(driver: Driver, seer: Seer) -> None:
    which = seer.see("Long ago")
    seer.change(which, "dismissed")
    driver.open(f"/?finding={which}")
    page = driver.page
    page.get_by_role("heading", name="Long ago").wait_for()
    page.get_by_role("button", name="All", exact=True).click()
    assert driver.url == "/?findings=open"
    page.go_back()
    page.get_by_role("heading", name="Long ago").wait_for()
    page.get_by_role("button", name="Close the findings").click()
    page.locator("barograph-findings").wait_for(state="detached")
    assert driver.url == "/"


def test_a_link_to_no_finding_says_so(driver: Driver, seer: Seer) -> None:
    driver.expected = ("status of 404",)
    driver.open("/?finding=never")
    driver.page.get_by_text("This finding cannot be shown: there is no finding").wait_for()
    driver.page.get_by_role("button", name="All findings").click()
    assert driver.url == "/?findings=all"


def test_the_keyboard_opens_reads_and_closes(driver: Driver, seer: Seer) -> None:
    which = seer.see("Load is high")
    driver.open()
    driver.until_board("board.findings.count === '1'")
    page = driver.page
    page.keyboard.press("f")
    page.locator("barograph-findings li").wait_for()
    assert page.evaluate(_FOCUSED) == "H2"
    for _ in range(7):  # close, five filters, then the first finding
        page.keyboard.press("Tab")
    assert page.evaluate(_FOCUSED) == "A"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Load is high").wait_for()
    driver.wait(f"() => ({_FOCUSED}) === 'H3'")
    assert driver.url == f"/?finding={which}"
    page.keyboard.press("Escape")
    driver.wait(f"() => ({_FOCUSED}) === 'A'")
    page.keyboard.press("Escape")
    page.locator("barograph-findings").wait_for(state="detached")
    driver.wait(f"() => ({_FOCUSED}) === 'BUTTON'")
    assert driver.url == "/"


def test_loading_and_failing_are_told_and_tried_again(driver: Driver, seer: Seer) -> None:
    driver.expected = ("status of 503",)
    page = driver.page
    held: list[Any] = []
    page.route(re.compile(r"/v1/findings\?"), lambda route: held.append(route))
    driver.open("/?findings=open")
    page.get_by_role("status", name="Loading").wait_for()
    _until(driver, lambda: len(held) >= 3)
    problem = {"status": 503, "body": '{"detail":"the store is busy"}',
               "content_type": "application/problem+json"}  # fmt: skip
    for route in held:
        route.fulfill(**problem)
    page.get_by_text("The findings could not be loaded: the store is busy").wait_for()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("No open findings.").wait_for()


def test_a_hostile_finding_is_text_everywhere(driver: Driver, seer: Seer) -> None:
    driver.expected = ("status of 400",)
    labels = {**LOAD, "who": HOSTILE}
    now = int(time.time() * 1000)
    which = seer.see(
        f"{HOSTILE} title", text=f"{HOSTILE} text", labels=labels, details={HOSTILE: HOSTILE},
        evidence=[
            {"query": f'stranger_value{{who="{HOSTILE}"}}', "start_ms": now - 60_000,
             "end_ms": now, "note": f"{HOSTILE} note"},
            {"query": f"{HOSTILE}((", "start_ms": now, "end_ms": now, "note": ""},
        ],
    )  # fmt: skip
    driver.open("/?findings=open")
    page = driver.page
    item = page.locator("barograph-findings li")
    item.wait_for()
    assert f"{HOSTILE} title" in item.inner_text()
    assert f"{HOSTILE} text" in item.inner_text()
    chart = driver.chart("Load average")
    chart.scroll_into_view_if_needed()
    chart.locator(".findings").get_by_text(f"{HOSTILE} title").wait_for()
    item.locator("a").click()
    finding = page.locator("barograph-finding")
    finding.locator(".note").get_by_text(f"{HOSTILE} note").wait_for()
    finding.locator("barograph-evidence").last.scroll_into_view_if_needed()
    finding.get_by_text("This chart failed:").wait_for()
    finding.locator("summary").click()
    # Title, text, labels, two queries, a note, and a detail's name and value.
    assert finding.evaluate(_TEXT).count(HOSTILE) >= 8
    assert seer.finding(which)["state"] == "open"
    pictures = page.locator("img").evaluate_all("all => all.map(e => e.src)")
    assert [p for p in pictures if not p.endswith("/icon.svg")] == []


def test_a_chart_marks_what_was_found_in_its_series_and_no_other(
    driver: Driver, seer: Seer
) -> None:
    which = seer.see("Load is high", severity="critical")
    fine = seer.see("That was fine")
    seer.change(fine, "dismissed")
    driver.open("/?filter=cpu")
    chart = driver.chart("Load average")
    driver.open("/?filter=load")
    line = chart.locator(".findings button")
    line.wait_for()
    assert line.count() == 1
    assert "critical" in line.inner_text()
    assert "Load is high" in line.inner_text()
    driver.open("/?filter=memory")
    driver.until_board("board.findings.active.length === 1")
    assert driver.page.locator("barograph-chart .findings").count() == 0
    driver.open("/?filter=load")
    line.click()
    driver.page.get_by_role("heading", name="Load is high").wait_for()
    assert f"finding={which}" in driver.url


def test_the_finding_under_the_cursor_comes_forward(driver: Driver, seer: Seer) -> None:
    now = int(time.time() * 1000)
    seer.see("First", start_ms=now - 200_000, end_ms=now - 100_000)
    seer.see("Second", start_ms=now - 60_000, end_ms=now - 2_000)
    driver.open("/?filter=load&range=live")
    chart = driver.chart("Load average")
    chart.locator(".findings button").nth(1).wait_for()
    box = chart.locator(".u-over").bounding_box()
    driver.page.mouse.move(box["x"] + box["width"] - 6, box["y"] + box["height"] / 2)
    here = chart.locator(".findings .here")
    here.wait_for()
    assert "Second" in chart.locator(".findings li").first.inner_text()


def test_what_has_ended_is_marked_in_the_range_in_which_it_was(driver: Driver, seer: Seer) -> None:
    which = seer.see("It has ended")
    seer.change(which, "resolved")
    driver.open("/?filter=load")
    chart = driver.chart("Load average")
    chart.locator(".findings").get_by_text("It has ended").wait_for()
    assert driver.page.locator("barograph-header .badge").count() == 0
    now = int(time.time() * 1000)
    driver.open(f"/?filter=load&from={now - 7_200_000}&to={now - 3_600_000}", charts=False)
    driver.until_board("board.findings.state === 'ready'")
    assert chart.locator(".findings").count() == 0


def test_a_score_stands_beside_its_chart_only_where_there_is_one(
    driver: Driver, seer: Seer
) -> None:
    driver.open("/?filter=load")
    driver.until_board("board.panel(board.widget('system.load-average')).t.length > 2")
    assert driver.page.locator(".score").count() == 0
    seer.score("system_load_average", {"period": "1m"}, 0.72)
    score = driver.chart("Load average").locator(".score")
    score.wait_for()
    assert score.inner_text() == "0.72 unusual"
    assert "worth a look" in score.get_attribute("aria-label")
    seer.score("system_load_average", {"period": "1m"}, 0.1)
    driver.wait(
        "() => document.querySelector('barograph-app').board.scores"
        ".of(document.querySelector('barograph-app').board.widget('system.load-average')) === 0.1"
    )
    assert score.inner_text() == "0.10"
    driver.page.keyboard.press("Space")
    driver.page.keyboard.press("3")
    score.wait_for()


def test_a_phone_shows_findings_over_the_whole_page(phone: Driver, seer: Seer) -> None:
    which = seer.see("Load is high, much higher than ever before at this hour of any week")
    phone.open()
    page = phone.page
    page.get_by_role("button", name="Findings, 1 open").tap()
    page.locator("barograph-findings li").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("barograph-findings").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert page.locator("barograph-header").get_attribute("inert") is not None
    page.locator("barograph-findings a").tap()
    page.locator("barograph-evidence canvas").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.locator(
        "barograph-findings button, barograph-findings a, barograph-findings input"
    ).evaluate_all(
        "all => all.map(e => [e.outerHTML, e.getBoundingClientRect()])"
        ".filter(([_, box]) => box.width && (box.width < 24 || box.height < 24)).map(one => one[0])"
    )
    assert small == []
    assert f"finding={which}" in phone.url
    page.get_by_role("button", name="Close the findings").tap()
    page.locator("barograph-findings").wait_for(state="detached")
    assert page.locator("barograph-header").get_attribute("inert") is None


def test_the_first_chart_waits_for_no_finding(driver: Driver, seer: Seer) -> None:
    held: list[Any] = []
    driver.page.route(re.compile(r"/v1/findings\?"), lambda route: held.append(route))
    driver.open()
    driver.until_board("board.link === 'open'")
    assert driver.page.locator("barograph-plot canvas").count() > 0
    for route in held:
        route.continue_()
    driver.page.unroute_all(behavior="wait")
    scripts = [r.url for r in driver.requests if r.url.endswith(".js")]
    assert [url for url in scripts if "findings" in url] == []


_FOCUSED = """(() => {
  let one = document.activeElement;
  while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
  return one?.tagName ?? '';
})()"""


_TEXT = """function text(element) {
  const parts = [...element.shadowRoot.querySelectorAll("*")].map((one) =>
    (one.shadowRoot ? text(one) : "") +
    [...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join(""));
  return parts.join(" ");
}"""


def _until(driver: Driver, condition: Any) -> None:
    """Wait for what the driver hears of the page."""
    for _ in range(200):
        if condition():
            return
        driver.page.wait_for_timeout(50)
    raise AssertionError("not within 10 s")


def _marked(evidence: Any) -> list[float]:
    """Where, as shares of the plot's width, the firm colour of a warning is at its top."""
    return evidence.locator("canvas").evaluate(  # type: ignore[no-any-return]
        """(canvas) => {
          const [left, right] = [62 * devicePixelRatio, canvas.width - 10 * devicePixelRatio];
          const from = Math.round(10 * devicePixelRatio);
          const { data, width } = canvas.getContext("2d").getImageData(0, from, canvas.width, 8);
          const found = [];
          for (let x = 0; x < width; x += 1) {
            const at = Array.from({ length: 8 }, (_, y) => 4 * (y * width + x));
            const firm = (i) => data[i] - data[i + 2] > 60 && data[i + 3] > 60;
            if (at.some(firm)) found.push((x - left) / (right - left));
          }
          return found;
        }"""
    )
