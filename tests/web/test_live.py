"""Live charts: they move, only what is seen is asked for, and what is missed is filled in."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from driving import LOST, Driver
from serving import Server

pytestmark = pytest.mark.browser


def test_the_address_loses_its_token(driver: Driver, server: Server) -> None:
    driver.page.context.clear_cookies()
    driver.page.goto(server.url)
    driver.page.locator("barograph-plot canvas").first.wait_for()
    assert driver.url == "/"


def test_charts_appear_and_move(driver: Driver) -> None:
    driver.open()
    before = driver.board("board.edge")
    drawn = "document.querySelector('barograph-app').shadowRoot.querySelector('barograph-chart')"
    drawn += ".shadowRoot.querySelector('barograph-plot').shadowRoot.querySelector('canvas')"
    picture = driver.page.evaluate(f"{drawn}.toDataURL()")
    driver.wait(f"old => {drawn} && {drawn}.toDataURL() !== old", picture)
    driver.until_board(f"board.edge > {before} + 1500")
    assert driver.page.locator("barograph-header .link").inner_text() == "live"


def test_tiles_show_a_number_with_its_unit(driver: Driver) -> None:
    driver.open()
    tile = driver.page.locator("barograph-tile").filter(has_text="Memory")
    driver.wait(
        "() => /^[0-9.]+$/.test(document.querySelector('barograph-app').shadowRoot"
        ".querySelectorAll('barograph-tile')[1].shadowRoot.querySelector('.number').textContent)"
    )
    assert tile.locator(".unit").inner_text() == "%"


def test_only_what_is_seen_is_subscribed(driver: Driver) -> None:
    driver.expected = ("status of 400",)  # the broken query of a plugin comes into sight
    driver.open()
    driver.until_board("board.link === 'open'")
    _until(driver, lambda: "system.cpu-modes" in driver.watched)
    assert "runtime.own-cpu" not in driver.watched
    driver.page.locator("barograph-contents").get_by_text("Barograph", exact=True).click()
    _until(driver, lambda: "runtime.own-cpu" in driver.watched)
    assert "system.cpu-modes" not in driver.watched


def test_a_hidden_tab_asks_for_nothing_and_catches_up_when_it_is_seen_again(
    driver: Driver,
) -> None:
    driver.open()
    _until(driver, lambda: bool(driver.watched))
    _hide(driver, True)
    _until(driver, lambda: not driver.watched)
    edge = driver.board("board.edge")
    driver.wait("old => Date.now() > old + 3000", driver.page.evaluate("Date.now()"))
    _hide(driver, False)
    driver.until_board(f"board.edge > {edge} + 2500")
    _until(driver, lambda: _holes(driver, edge) == 0)


def test_a_lost_connection_is_told_and_what_was_missed_is_filled_in(driver: Driver) -> None:
    driver.expected = LOST
    routes: list[Any] = []
    cut = [False]

    def connect(route: Any) -> None:
        if cut[0]:
            route.close()
        else:
            route.connect_to_server()
            routes.append(route)

    driver.page.route_web_socket("**/live", connect)
    driver.open()
    driver.until_board("board.link === 'open' && board.edge > 0")
    edge = driver.board("board.edge")
    cut[0] = True
    routes[-1].close()
    banner = driver.page.locator("barograph-banner .lost")
    banner.wait_for()
    assert "old" in banner.inner_text()
    driver.page.locator("barograph-plot .lost").first.wait_for()
    driver.until_board("board.serverNow - board.edge > 4000")
    cut[0] = False
    # It may have come back by itself in the meantime; then there is nothing to click.
    banner.evaluate_all("all => all[0]?.querySelector('button').click()")
    banner.wait_for(state="detached")
    driver.until_board(f"board.edge > {edge} + 4500")
    _until(driver, lambda: _holes(driver, edge) == 0)
    assert driver.page.locator("barograph-plot .lost").count() == 0


def test_a_server_that_stands_still_is_noticed_and_comes_back(
    driver: Driver, server: Server
) -> None:
    driver.expected = LOST
    driver.open()
    driver.until_board("board.link === 'open'")
    banner = driver.page.locator("barograph-banner .lost")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        banner.wait_for()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    banner.wait_for(state="detached", timeout=30_000)
    edge = driver.board("board.edge")
    driver.until_board(f"board.edge > {edge}")


def test_pause_holds_the_page_and_going_on_catches_up(driver: Driver) -> None:
    driver.open()
    driver.until_board("board.link === 'open'")
    driver.page.get_by_role("button", name="Pause", exact=True).click()
    _until(driver, lambda: not driver.watched)
    edge = driver.board("board.edge")
    now = driver.page.evaluate("Date.now()")
    driver.wait("old => Date.now() > old + 2500", now)
    assert driver.board("board.edge") == edge
    assert driver.page.locator("barograph-header .link").inner_text() == "paused"
    driver.page.get_by_role("button", name="Go on").click()
    driver.until_board(f"board.edge > {edge} + 2000")
    _until(driver, lambda: _holes(driver, edge) == 0)


def test_a_slow_browser_is_told_that_it_gets_fewer_points(driver: Driver) -> None:
    def connect(route: Any) -> None:
        upstream = route.connect_to_server()
        upstream.on_message(lambda text: route.send(text.replace('"skipped":0', '"skipped":3')))

    driver.page.route_web_socket("**/live", connect)
    driver.open()
    driver.page.locator("barograph-header").get_by_text("live, fewer points").wait_for()


def _until(driver: Driver, condition: Any) -> None:
    """Wait for what the driver hears of the page."""
    for _ in range(200):
        if condition():
            return
        driver.page.wait_for_timeout(50)
    raise AssertionError("not within 10 s")


def _hide(driver: Driver, hidden: bool) -> None:
    driver.page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden,"
        " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def _holes(driver: Driver, edge: float) -> int:
    """Seconds since ``edge`` for which the server has a value of the CPU tile, and the page none
    within a second of it: ticks come a little early or late."""
    return driver.page.evaluate(  # type: ignore[no-any-return]
        """async edge => {
          const { board } = document.querySelector("barograph-app");
          const panel = board.panel(board.widget("system.cpu"));
          const [from, to] = [edge - 2000, board.edge - 1000];
          const [there] = await board.server.range(
            panel.widget.queries, from, to, Math.ceil((to - from) / 1000));
          const known = new Set(panel.t.filter((_, i) => panel.lines[0].values[i] !== null));
          const near = (t) => [t - 1000, t, t + 1000].some((one) => known.has(one));
          return there.t.filter((t, i) => there.series[0].values[i] !== null && !near(t)).length;
        }""",
        edge,
    )
