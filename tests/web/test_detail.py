"""Drill-down: from a chart to one label, to a line, to its raw samples; each with an address."""

from __future__ import annotations

import pytest
from driving import Driver

pytestmark = pytest.mark.browser


def test_from_host_to_core_to_modes_to_raw_samples_and_back(driver: Driver) -> None:
    driver.open()
    page = driver.page
    driver.chart("CPU by mode").locator(".title").click()
    assert driver.url == "/?view=system.cpu-modes"
    page.get_by_role("group", name="Split by").get_by_role("button", name="cpu").click()
    assert driver.url == "/?view=system.cpu-modes&by=cpu"
    row = page.locator("barograph-detail tr").filter(has_text="cpu 0")
    row.get_by_role("button", name="by mode").click()
    assert driver.url == "/?view=system.cpu-modes&by=mode&where=cpu:0"
    page.locator("button[title='Raw samples of mode user']").click()
    samples = page.locator("barograph-samples tbody tr")
    samples.first.wait_for()
    assert 'system_cpu_time_seconds_total{cpu="0", mode="user"}' in (
        page.locator("barograph-samples caption").inner_text()
    )
    assert driver.url.endswith("&where=cpu:0&line=mode:user")
    address = driver.url
    for expected in (
        "/?view=system.cpu-modes&by=mode&where=cpu:0", "/?view=system.cpu-modes&by=cpu",
        "/?view=system.cpu-modes", "/",
    ):  # fmt: skip
        page.keyboard.press("Escape")
        page.wait_for_url(f"**{expected}")
        assert driver.url == expected
    driver.open(address)
    samples.first.wait_for()
    assert page.locator("barograph-detail h2").inner_text() == "CPU by mode"


def test_the_table_of_lines_agrees_with_their_data(driver: Driver) -> None:
    driver.open("/?view=system.memory-states")
    rows = driver.page.locator("barograph-detail tbody tr")
    rows.first.wait_for()
    driver.wait("() => document.querySelector('barograph-app') !== null")
    names = rows.locator("th").all_inner_texts()
    assert {"cached", "free", "used"} <= {name.strip() for name in names}
    cells = rows.filter(has_text="used").locator("td").all_inner_texts()
    assert all(cell.endswith("iB") for cell in cells[:4])


def test_the_data_table_has_a_row_for_each_point(driver: Driver) -> None:
    driver.open("/?view=system.load-average")
    driver.page.get_by_role("button", name="Data table").click()
    table = driver.page.locator("barograph-detail table").nth(1)
    table.locator("tbody tr").nth(2).wait_for()
    assert table.locator("thead th").all_inner_texts()[0] == "time"


def test_a_line_can_be_hidden(driver: Driver) -> None:
    driver.open()
    legend = driver.chart("CPU by core").locator(".line").first
    legend.click()
    driver.page.mouse.move(5, 5)
    assert legend.get_attribute("aria-pressed") == "false"
    legend.click()
    assert legend.get_attribute("aria-pressed") == "true"


def test_what_is_seen_can_be_saved(driver: Driver) -> None:
    driver.open("/?view=stranger.hostile")
    driver.page.locator("barograph-detail tbody tr").first.wait_for()
    with driver.page.expect_download() as saved:
        driver.page.get_by_role("button", name="Save as CSV").click()
    text = saved.value.path().read_text()
    assert text.startswith('"time","<img src=x onerror=alert(1)>"\n')
    assert text.splitlines()[-1].endswith(",1")


def test_an_unknown_chart_leads_back(driver: Driver) -> None:
    driver.open("/?view=no.such", charts=False)
    driver.page.get_by_text("There is no chart").wait_for()
    driver.page.get_by_role("button", name="All charts").click()
    driver.page.locator("barograph-plot canvas").first.wait_for()
