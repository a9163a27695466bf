"""From `barograph run` to the first live point on the page, with warm caches.

Chromium runs already, as a user's browser does; its page is opened as soon as the server has
printed its address. The end is the second animation frame after the first tick with a value has
come over the page's WebSocket, with a chart's canvas in the page. The way there is told by parts.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import Figure, main, tell
from processes import running_server, used

PARTS = (
    "address printed", "page's document loaded", "live connection open", "first tick received",
    "first chart in the page", "first live point drawn",
)  # fmt: skip
WANTED_S = 2.0
LIMIT_MS = 20_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def once(browser: Any) -> tuple[list[float], float]:
    """Seconds from the start of the command to each of ``PARTS``; the server's CPU seconds."""
    at: dict[str, float] = {}
    page = browser.new_context().new_page()

    def frame(text: str | bytes) -> None:
        if "first tick received" not in at and _has_value(text):
            at["first tick received"] = time.perf_counter()

    def connected(socket: Any) -> None:
        at.setdefault("live connection open", time.perf_counter())
        socket.on("framereceived", frame)

    page.on("websocket", connected)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with running_server(Path(folder), ready=False) as server:
            at["address printed"] = time.perf_counter()
            page.goto(server.url, wait_until="domcontentloaded", timeout=LIMIT_MS)
            at["page's document loaded"] = time.perf_counter()
            page.locator("canvas").first.wait_for(state="attached", timeout=LIMIT_MS)
            at["first chart in the page"] = time.perf_counter()
            until = time.perf_counter() + LIMIT_MS / 1000
            while "first tick received" not in at:
                if time.perf_counter() > until:
                    raise AssertionError(f"no tick with a value; so far {at}")
                page.wait_for_timeout(5)
            page.evaluate(DRAWN)
            at["first live point drawn"] = time.perf_counter()
            spent = used(server.pid).cpu_s
            page.context.close()
    return [at[part] - began for part in PARTS], spent


def _has_value(text: str | bytes) -> bool:
    frame = json.loads(text)
    if frame.get("type") != "tick":
        return False
    return any(value is not None for values in frame["v"].values() for value in values)


def measure(quick: bool, rounds: int) -> list[Figure]:
    chromium = shutil.which("chromium")
    if chromium is None:
        tell("first_point: skipped: there is no `chromium` on the path")
        return []
    from playwright.sync_api import sync_playwright

    found: list[list[float]] = []
    cpu: list[float] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        once(browser)  # warm: bytecode, the system's cache
        for i in range(2 if quick else rounds):
            times, spent = once(browser)
            found.append(times)
            cpu.append(spent)
            told = ", ".join(f"{p} {s:.2f}" for p, s in zip(PARTS, times, strict=True))
            tell(f"first_point: round {i + 1}: {told}")
        browser.close()
    figures = [
        Figure(f"first point: {part}", "s", [times[i] for times in found], "less")
        for i, part in enumerate(PARTS[:-1])
    ]
    last = [times[-1] for times in found]
    figures.append(Figure("first point: CPU time of the server until then", "s", cpu, "less"))
    return [*figures, Figure(f"first point: {PARTS[-1]}", "s", last, "less", WANTED_S)]


if __name__ == "__main__":
    main(measure, rounds=7)
