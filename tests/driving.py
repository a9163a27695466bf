"""A real Chromium for tests, and a page that tells all that went wrong in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

try:
    from playwright.sync_api import Browser, Page, Request, WebSocket, sync_playwright
except ImportError:
    pytest.skip("playwright is not installed", allow_module_level=True)

DEADLINE_MS = 10_000
LOST = ("ERR_", "WebSocket connection")
"""What the browser says of requests while the server cannot be reached."""

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

_BOARD = "() => { const board = document.querySelector('barograph-app').board; return %s; }"
_WATCH_CSP = """
window.violations = [];
addEventListener("securitypolicyviolation", (e) =>
  window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Debian's Chromium. Skips where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@attrs.define(eq=False)
class Driver:
    """One page in a browser of its own cookies, and what happened in it."""

    page: Page
    base: str
    errors: list[str] = attrs.field(factory=list)
    requests: list[Request] = attrs.field(factory=list)
    sockets: list[WebSocket] = attrs.field(factory=list)
    sent: list[dict[str, Any]] = attrs.field(factory=list)
    expected: tuple[str, ...] = ()
    """Parts of console errors that the test itself causes."""

    def open(self, path: str = "/", charts: bool = True) -> None:
        """Go to a path; with ``charts`` wait until the first one is drawn."""
        self.page.goto(self.base + path)
        if charts:
            self.page.locator("barograph-plot canvas").first.wait_for()

    def wait(self, script: str, *arguments: Any) -> Any:
        """Wait until the script is true in the page."""
        return self.page.wait_for_function(script, arg=arguments[0] if arguments else None)

    def board(self, expression: str) -> Any:
        """An expression over ``board``, the page's state."""
        return self.page.evaluate(_BOARD % expression)

    def until_board(self, expression: str) -> None:
        """Wait until an expression over ``board`` is true."""
        self.wait(_BOARD % expression)

    @property
    def url(self) -> str:
        return self.page.url.removeprefix(self.base)

    def chart(self, title: str) -> Any:
        """The card of the chart with this title."""
        return self.page.locator("barograph-chart").filter(has_text=title).first

    def drag(self, chart: Any, start: float, end: float) -> None:
        """Drag over a part of a chart's plot, from and to shares of its width."""
        box = chart.locator(".u-over").bounding_box()
        height = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * start, height)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * (start + end) / 2, height)
        self.page.mouse.move(box["x"] + box["width"] * end, height)
        self.page.mouse.up()

    @property
    def watched(self) -> set[str]:
        """Widgets that the page last subscribed to."""
        asked = [message for message in self.sent if message["type"] == "subscribe"]
        return {panel["id"].partition("#")[0] for panel in asked[-1]["panels"]} if asked else set()

    def judge(self) -> None:
        """No console error, no exception, no breach of the CSP, no request elsewhere."""
        violations = self.page.evaluate("window.violations ?? []")
        assert violations == []
        assert self.errors == []
        own = urlsplit(self.base).netloc
        asked = [r.url for r in self.requests] + [s.url for s in self.sockets]
        strange = [u for u in asked if not u.startswith(("blob:", "data:"))]
        assert [u for u in strange if urlsplit(u).netloc != own] == []


@contextmanager
def driven(browser: Browser, base: str, **context: Any) -> Iterator[Driver]:
    """A fresh page; at the end it is judged."""
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **context}
    with browser.new_context(**options) as opened:
        opened.set_default_timeout(DEADLINE_MS)
        opened.add_init_script(_WATCH_CSP)
        page = opened.new_page()
        driver = Driver(page, base)
        page.on("console", lambda message: _console(driver, message))
        page.on("pageerror", lambda error: driver.errors.append(f"exception: {error}"))
        page.on("dialog", lambda dialog: (driver.errors.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: driver.requests.append(request))
        page.on("websocket", lambda socket: _socket(driver, socket))
        yield driver
        driver.judge()


def _console(driver: Driver, message: Any) -> None:
    if message.type != "error":
        return
    if not any(part in message.text for part in driver.expected):
        driver.errors.append(message.text)


def _socket(driver: Driver, socket: WebSocket) -> None:
    driver.sockets.append(socket)
    socket.on("framesent", lambda text: driver.sent.append(json.loads(text)))
