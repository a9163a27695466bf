"""Ranges: presets, exact times, zoom, history and addresses."""

from __future__ import annotations

import pytest
from driving import Driver

pytestmark = pytest.mark.browser


def test_a_preset_changes_range_and_address_and_back_returns(driver: Driver) -> None:
    driver.open()
    with driver.page.expect_response("**/range") as answer:
        driver.page.get_by_role("button", name="last hour").click()
    assert driver.url == "/?range=1h"
    assert min(chart["step_ms"] for chart in answer.value.json()["results"]) > 1000
    assert (
        driver.page.get_by_role("button", name="last hour").get_attribute("aria-pressed") == "true"
    )
    driver.page.go_back()
    driver.until_board("board.range.name === 'live'")
    assert driver.url == "/"
    driver.page.go_forward()
    driver.until_board("board.range.name === '1h'")


@pytest.mark.parametrize("name", ["15m", "24h", "30d"])
def test_each_range_draws_with_a_bounded_number_of_points(driver: Driver, name: str) -> None:
    with driver.page.expect_response("**/range") as answer:
        driver.open(f"/?range={name}", charts=False)
    assert max(len(chart["t"]) for chart in answer.value.json()["results"]) <= 460
    driver.page.locator("barograph-plot canvas").first.wait_for()


def test_dragging_zooms_all_charts_with_finer_data_and_double_click_returns(driver: Driver) -> None:
    driver.open("/?range=1h")
    chart = driver.chart("CPU by core")
    chart.locator("canvas").wait_for()
    coarse = driver.board("board.panel(board.widget('system.cpu-cores')).step")
    with driver.page.expect_response("**/range"):
        driver.drag(chart, 0.9, 0.995)
    assert "from=" in driver.url
    assert "to=" in driver.url
    driver.until_board("board.panel(board.widget('system.cpu-cores')).step === 1000")
    assert coarse == 10_000
    driver.until_board("board.panel(board.widget('system.cpu-modes')).step === 1000")
    span = driver.board("board.window[1] - board.window[0]")
    assert 200_000 < span < 500_000
    chart.locator("canvas").wait_for()
    chart.locator(".u-over").dblclick()
    driver.until_board("board.range.kind === 'recent'")
    assert driver.url == "/?range=1h"


def test_an_address_with_times_opens_at_those_times(driver: Driver) -> None:
    driver.open("/?from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z&tz=utc", charts=False)
    driver.page.get_by_text("No data in this range.").first.wait_for()
    assert driver.board("board.window[1] - board.window[0]") == 3_600_000
    exact = driver.page.get_by_role("button", name="Exact time range: 01-01 00:00 – 01:00")
    assert exact.is_visible()
    driver.page.get_by_role("button", name="Go to live").first.click()
    driver.page.locator("barograph-plot canvas").first.wait_for()
    assert driver.url == "/?tz=utc"


def test_an_exact_range_is_typed_in_and_a_wrong_one_is_told(driver: Driver) -> None:
    driver.open("/?tz=utc")
    driver.page.get_by_role("button", name="Exact time range").click()
    form = driver.page.get_by_role("form", name="Exact time range")
    form.get_by_label("From").fill("2026-01-02T03:04:05")
    form.get_by_label("To").fill("2026-01-02T03:00:00")
    form.get_by_role("button", name="Show").click()
    form.get_by_text("The end must come after the start.").wait_for()
    form.get_by_label("To").fill("2026-01-02T04:04:05")
    form.get_by_role("button", name="Show").click()
    driver.until_board("board.range.kind === 'between'")
    assert driver.url == ("/?from=2026-01-02T03:04:05.000Z&to=2026-01-02T04:04:05.000Z&tz=utc")


def test_the_cursor_is_shared_by_all_charts_and_legends_follow_it(driver: Driver) -> None:
    driver.open()
    driver.until_board("board.panel(board.widget('system.cpu-cores')).t.length > 3")
    driver.page.get_by_role("button", name="Pause", exact=True).click()
    first = driver.chart("CPU by core")
    box = first.locator(".u-over").bounding_box()
    driver.page.mouse.move(box["x"] + box["width"] * 0.995, box["y"] + 30)
    time = first.locator("time")
    time.wait_for()
    other = driver.chart("CPU by mode").locator("time")
    other.wait_for()
    assert other.inner_text() == time.inner_text()
    driver.page.mouse.move(5, 5)
    time.wait_for(state="detached")
