"""The page in a real Chromium: its first chart, what it sends for it, and what it costs while live.

Cold: a new browser profile for each round; the browser itself and the server already run. The
first chart is there in the frame after its first line was drawn. Requests and bytes are counted
until the page is at rest, headers and frames of the live connection included. Live: the window is
so tall that 24 charts and more are in sight, each with its tick a second; CPU time is that of all
of the browser's processes. Drawing is software's: no graphics card is used.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import Figure, main, tell
from processes import Server, running_server, tree, used, wait_for

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--enable-precise-memory-info",
         "--js-flags=--expose-gc"]  # fmt: skip
LIMIT_MS = 20_000
CHARTS = 24
LIVE_WINDOW = {"width": 1920, "height": 6000}
"""All charts of the default page are in sight."""

DRAWN = """
window.firstChart = 0;
const { stroke } = CanvasRenderingContext2D.prototype;
// Lines of charts are paths; grids and axes are not.
CanvasRenderingContext2D.prototype.stroke = function (...path) {
  if (path.length && !window.firstChart && this.canvas.closest(".uplot")) {
    CanvasRenderingContext2D.prototype.stroke = stroke;
    requestAnimationFrame(() => { window.firstChart = performance.now(); });
  }
  return stroke.apply(this, path);
};
"""

IN_SIGHT = """() => {
  let count = 0;
  const walk = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one instanceof HTMLCanvasElement) count += 1;
      if (one.shadowRoot) walk(one.shadowRoot);
    }
  };
  walk(document);
  return count;
}"""
TICKS = """() => {
  window.ticks = 0;
  const { board } = document.querySelector("barograph-app");
  board.addEventListener("tick", () => { window.ticks += 1; });
}"""
HEAP = "() => { gc(); return performance.memory.usedJSHeapSize; }"


@contextmanager
def opened(browser: Any, server: Server, **options: Any) -> Iterator[tuple[Any, dict[str, float]]]:
    """A page of a new profile that is signed in; what it will be sent is counted."""
    context = browser.new_context(color_scheme="light", **options)
    context.request.get(server.url)
    page = context.new_page()
    count = {"bytes": 0.0, "requests": 0.0}
    session = context.new_cdp_session(page)
    session.send("Network.enable")

    def ended(event: Any) -> None:
        count["bytes"] += event["encodedDataLength"]

    def began(_: Any) -> None:
        count["requests"] += 1

    def frame(event: Any) -> None:
        count["bytes"] += len(event["response"]["payloadData"])

    session.on("Network.requestWillBeSent", began)
    session.on("Network.webSocketCreated", began)
    session.on("Network.loadingFinished", ended)
    session.on("Network.webSocketFrameReceived", frame)
    try:
        yield page, count
    finally:
        context.close()


def first_chart(browser: Any, server: Server) -> tuple[float, float, float]:
    """Milliseconds from the navigation to the first chart; kB and requests until all is loaded."""
    with opened(browser, server, viewport={"width": 1400, "height": 900}) as (page, count):
        page.add_init_script(DRAWN)
        page.goto(server.base_url + "/", timeout=LIMIT_MS)
        page.wait_for_function("() => window.firstChart > 0", timeout=LIMIT_MS)
        found = float(page.evaluate("window.firstChart"))
        page.wait_for_load_state("networkidle", timeout=LIMIT_MS)
        return found, count["bytes"] / 1000, count["requests"]


def live(browser: Any, server: Server, pid: int, seconds: float) -> tuple[float, float, float]:
    """Percent of a core over ``seconds``, the heap's growth in percent, and charts in sight."""
    with opened(browser, server, viewport=LIVE_WINDOW) as (page, _):
        page.goto(server.base_url + "/", timeout=LIMIT_MS)
        page.wait_for_function(f"() => ({IN_SIGHT})() >= {CHARTS}", timeout=LIMIT_MS)
        page.evaluate(TICKS)
        page.wait_for_function("() => window.ticks >= 5", timeout=LIMIT_MS)
        charts = float(page.evaluate(IN_SIGHT))
        before, ticks = page.evaluate(HEAP), page.evaluate("window.ticks")
        cpu, began = used(pid).cpu_s, time.monotonic()
        time.sleep(seconds)
        spent, took = used(pid).cpu_s - cpu, time.monotonic() - began
        rate = (page.evaluate("window.ticks") - ticks) / took
        grown = 100 * (page.evaluate(HEAP) / before - 1)
        tell(f"  {charts:.0f} charts, {rate:.2f} ticks/s, heap {before / 2**20:.1f} MB")
        return 100 * spent / took, grown, charts


def browser_pid(known: set[int]) -> int:
    """The browser that has started since ``known`` were all processes below this one."""
    for pid in tree(os.getpid()):
        if pid in known:
            continue
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"chrom" in line[0] and not any(one.startswith(b"--type=") for one in line):
            return pid
    raise AssertionError("the browser's process is not to be found")


def measure(quick: bool, rounds: int) -> list[Figure]:
    chromium = shutil.which("chromium")
    if chromium is None:
        tell("page: skipped: there is no `chromium` on the path")
        return []
    from playwright.sync_api import sync_playwright

    seconds = 10.0 if quick else 30.0
    cold: list[tuple[float, float, float]] = []
    busy: list[tuple[float, float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        sync_playwright() as driver,
    ):
        known = set(tree(os.getpid()))
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        pid = browser_pid(known)
        wait_for(lambda: server.get("/healthz")[0] == 200)
        first_chart(browser, server)  # warm: the system's cache of the browser and the server
        for i in range(rounds):
            cold.append(first_chart(browser, server))
            tell("page: round {}: first chart {:.0f} ms, {:.0f} kB, {:.0f} requests".format(
                i + 1, *cold[-1]))  # fmt: skip
        for i in range(1 if quick else 3):
            tell(f"page: live for {seconds:g} s, {i + 1}")
            busy.append(live(browser, server, pid, seconds))
            tell(f"  CPU {busy[-1][0]:.1f} % of a core")
        browser.close()
    charts = f"{busy[0][2]:.0f} charts and tiles in sight"
    return [
        Figure("page: first chart, cold", "ms", [x for x, _, _ in cold], "less", 500),
        Figure("page: sent", "kB", [x for _, x, _ in cold], "less", 200),
        Figure("page: requests", "", [x for _, _, x in cold], "less", 15),
        Figure("page: browser, 24 live charts and more at 1 Hz", "% of a core",
               [x for x, _, _ in busy], "less", 15, note=charts),
        Figure(f"page: heap after {seconds:g} s more", "% grown", [x for _, x, _ in busy], "less",
               10, note="the five minutes that charts hold are still filling up"),
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure, rounds=5)
