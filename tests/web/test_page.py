"""Themes, keys, phone, faults of strangers, budgets."""

from __future__ import annotations

import pytest
from driving import Browser, Driver, driven
from serving import Server

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=alert(1)>"


def test_the_theme_is_chosen_by_key_and_kept(driver: Driver) -> None:
    driver.open()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = driver.page.evaluate(ground)
    driver.page.keyboard.press("t")
    driver.page.keyboard.press("t")
    assert driver.page.locator("html").get_attribute("data-theme") == "dark"
    dark = driver.page.evaluate(ground)
    assert dark != light
    driver.open()
    assert driver.page.evaluate(ground) == dark
    driver.page.keyboard.press("t")
    assert driver.page.evaluate(ground) == light
    driver.page.emulate_media(color_scheme="dark")
    assert driver.page.evaluate(ground) == dark


def test_a_chart_is_read_with_the_arrow_keys(driver: Driver) -> None:
    driver.open()
    driver.until_board("board.panel(board.widget('system.cpu-modes')).t.length > 3")
    driver.page.keyboard.press("n")
    area = driver.page.locator("barograph-plot .draw").first
    assert area.evaluate("e => e.matches(':focus-visible')")
    assert area.get_attribute("aria-label") == "CPU by mode"
    summary = driver.page.locator("barograph-plot #summary").first
    assert "Arrow keys read values" in summary.inner_text()
    spoken = driver.page.locator("barograph-plot [role=status]").first
    driver.page.keyboard.press("ArrowLeft")
    driver.page.wait_for_function(
        "e => e.textContent.includes('user')", arg=spoken.element_handle()
    )
    first = spoken.inner_text()
    driver.page.keyboard.press("ArrowLeft")
    assert spoken.inner_text() != first
    driver.page.keyboard.press("+")
    driver.until_board("board.range.kind === 'between'")
    driver.page.keyboard.press("l")
    driver.until_board("board.range.name === 'live'")
    driver.page.keyboard.press("Enter")
    assert driver.url == "/?view=system.cpu-modes"


def test_keys_filter_explain_and_pick_ranges(driver: Driver) -> None:
    driver.open()
    page = driver.page
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("/")
    page.keyboard.type("swap")
    driver.wait(
        "() => document.querySelector('barograph-app').shadowRoot"
        ".querySelectorAll('barograph-chart').length === 2"
    )
    assert driver.url == "/?filter=swap"
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    driver.until_board("board.range.name === '1h'")
    page.keyboard.press("u")
    assert driver.url == "/?range=1h&tz=utc&filter=swap"


def test_a_phone_shows_a_chart_at_once_and_never_scrolls_sideways(phone: Driver) -> None:
    phone.open()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = phone.page.locator("barograph-plot canvas").first.bounding_box()
    assert box["y"] + box["height"] / 2 < 844
    lefts = phone.page.locator("barograph-chart").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1
    small = phone.page.evaluate(
        """() => {
          const found = [];
          const walk = (root) => {
            for (const e of root.querySelectorAll("*")) {
              if (e.shadowRoot) walk(e.shadowRoot);
              if (!e.matches("button, a, select, input") || e.matches(".skip")) continue;
              const { width, height } = e.getBoundingClientRect();
              if (width && (width < 24 || height < 24)) found.push(e.outerHTML);
            }
          };
          walk(document);
          return found;
        }"""
    )
    assert small == []
    phone.open("/?view=system.cpu-modes&by=cpu")
    phone.page.locator("barograph-detail tbody tr").first.wait_for()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_are_text_everywhere(driver: Driver) -> None:
    driver.open("/?filter=stranger")
    chart = driver.chart("title")
    chart.locator("canvas").wait_for()
    assert chart.locator(".title").inner_text() == f"{HOSTILE} title"
    assert chart.locator(".name").inner_text() == HOSTILE
    chart.get_by_role("button", name="means").click()
    assert f"{HOSTILE} bad" in chart.locator(".bad").inner_text()
    table = driver.page.locator("barograph-table")
    table.get_by_text(HOSTILE).wait_for()
    driver.page.get_by_text(f"dial says {HOSTILE}").wait_for()
    driver.open("/?view=stranger.hostile&by=who")
    driver.page.locator("button.name").click()
    driver.page.locator("barograph-samples tbody tr").first.wait_for()
    assert HOSTILE in driver.page.locator("barograph-samples caption").inner_text()
    pictures = driver.page.locator("img").evaluate_all("all => all.map(e => e.src)")
    assert [p for p in pictures if not p.endswith("/icon.svg")] == []


def test_a_broken_widget_says_so_and_spoils_no_other(driver: Driver) -> None:
    driver.expected = ("status of 400",)
    driver.open("/?filter=faulty")
    driver.page.get_by_text("This chart failed: bad series selector").wait_for()
    driver.page.get_by_text("This widget failed: it is broken").wait_for()
    never = driver.chart("Never any data")
    never.get_by_text("No data yet").wait_for()
    driver.chart("Sound").locator("canvas").wait_for()
    broken = driver.chart("Broken query")
    with driver.page.expect_response("**/range"):
        broken.get_by_role("button", name="Try again").click()


def test_problems_are_shown_as_text_and_dismissed(driver: Driver) -> None:
    driver.open()
    problem = driver.page.locator("barograph-banner .problem").filter(has_text="crooked")
    problem.wait_for()
    assert "<b>crooked</b> on purpose" in problem.inner_text()
    problem.get_by_role("button", name="Dismiss").click()
    problem.wait_for(state="detached")


def test_a_wrong_token_is_told_and_the_right_one_opens(server: Server, chromium: Browser) -> None:
    with driven(chromium, server.base_url) as driver:
        page = driver.page
        page.goto(f"{server.base_url}/")
        assert driver.url == "/login"
        assert page.get_by_text("Wrong token").is_hidden()
        page.get_by_label("Token").fill("not it")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Wrong token").wait_for()
        page.get_by_label("Token").fill(server.token)
        page.get_by_role("button", name="Sign in").click()
        page.locator("barograph-plot canvas").first.wait_for()
        assert driver.url == "/"


def test_the_first_page_keeps_its_budget_of_bytes_and_requests(driver: Driver) -> None:
    session = driver.page.context.new_cdp_session(driver.page)
    session.send("Network.enable")
    received: list[float] = []
    session.on("Network.loadingFinished", lambda e: received.append(e["encodedDataLength"]))
    session.on(
        "Network.webSocketFrameReceived",
        lambda e: received.append(len(e["response"]["payloadData"])),
    )
    driver.open()
    driver.until_board("board.link === 'open'")
    driver.page.wait_for_load_state("networkidle")
    assert len(driver.requests) + len(driver.sockets) <= 15
    assert 20_000 < sum(received) <= 200_000
