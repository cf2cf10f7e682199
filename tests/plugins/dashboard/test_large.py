"""Pages under load: they draw what is seen, keep what they promise to keep, and still answer. Figures: benchmarks."""

import re
from urllib.parse import quote

from playwright.async_api import Page, expect

from benchmarks.dashboard_payloads import LARGE_SPANS, LARGE_TRACE, SERIES, SERIES_STEP_SECONDS
from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_browser import settled
from tests.plugins.dashboard.rig_server import LARGE_TENANT, Dashboard

LINES_PER_SECOND = 1000
TAIL_KEEPS = 5000
# A list draws what is seen, and some rows above and below.
MOST_DRAWN = 150


async def large_trace(open_page: OpenPage, dashboard: Dashboard) -> Page:
    await dashboard.add_large()
    page = await open_page(f"/traces/{LARGE_TRACE}", tenant=LARGE_TENANT)
    await settled(page)
    return page


async def test_waterfall_goes_through_ten_thousand_spans(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await large_trace(open_page, dashboard)
    grid = page.get_by_role("treegrid", name="Spans of the trace")
    rows = grid.get_by_role("row")
    await expect(page.get_by_role("heading", level=1)).to_have_text("GET /report")
    await expect(grid).to_have_attribute("aria-rowcount", str(LARGE_SPANS + 1))
    assert await rows.count() < MOST_DRAWN

    await grid.focus()
    await page.keyboard.press("End")
    await expect(grid.locator(f"[aria-rowindex='{LARGE_SPANS + 1}']")).to_be_in_viewport()
    assert await rows.count() < MOST_DRAWN
    await page.keyboard.press("Home")
    await expect(grid.locator("[aria-rowindex='2']")).to_be_in_viewport()

    await grid.hover()
    await page.mouse.wheel(0, 50_000)
    await expect(grid.locator("[aria-rowindex='2']")).not_to_be_in_viewport()
    await page.mouse.wheel(0, -60_000)
    await expect(grid.locator("[aria-rowindex='2']")).to_be_in_viewport()


async def test_waterfall_finds_and_folds_among_ten_thousand_spans(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await large_trace(open_page, dashboard)
    grid = page.get_by_role("treegrid", name="Spans of the trace")

    await page.get_by_role("searchbox", name="Search in this trace").fill("step 9876")
    await expect(page.get_by_text("1 match")).to_be_visible()
    await page.get_by_role("button", name="Next match").click()
    await expect(grid.get_by_role("row", name="step 9876")).to_be_in_viewport()
    await page.wait_for_url(f"**span={9877:016x}*")

    await page.get_by_role("button", name="Collapse all").click()
    await expect(grid).not_to_have_attribute("aria-rowcount", str(LARGE_SPANS + 1))
    await page.get_by_role("button", name="Expand all").click()
    await expect(grid).to_have_attribute("aria-rowcount", str(LARGE_SPANS + 1))


async def test_chart_draws_a_hundred_thousand_points(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_large()
    query = f"/metrics?q={quote('rig_wave')}&from=now-3h&step={SERIES_STEP_SECONDS}s"
    page = await open_page(query, tenant=LARGE_TENANT)
    await settled(page)

    chart = page.get_by_role("figure", name=f"rig_wave: {SERIES} lines")
    await expect(chart).to_be_visible()
    canvas = chart.locator("canvas").first
    await expect(canvas).to_be_visible()
    box = await canvas.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=4)
    await page.mouse.up()

    await page.wait_for_url(re.compile(r"from=\d{13}"))
    await expect(page.get_by_role("figure", name=f"rig_wave: {SERIES} lines")).to_be_visible()


async def test_tail_follows_a_thousand_lines_a_second(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_tenant(LARGE_TENANT)
    page = await open_page("/logs?live=true&q=service:flood", tenant=LARGE_TENANT)
    await expect(page.get_by_text("Following")).to_be_visible()

    async with dashboard.flood(LINES_PER_SECOND, LARGE_TENANT):
        lines = page.get_by_role("listbox", name="Live log records").get_by_role("option")
        await expect(lines.last).to_have_attribute("aria-setsize", str(TAIL_KEEPS), timeout=60_000)
        # The newest stays in sight, and only what is seen is drawn.
        await expect(lines.last).to_have_attribute("aria-posinset", str(TAIL_KEEPS))
        assert await lines.count() < MOST_DRAWN
        shown = await lines.last.inner_text()
        await expect(lines.last).not_to_have_text(shown)
        await page.get_by_role("searchbox", name="Search logs").fill("nothing like this")
        await expect(page.get_by_text("Waiting for records")).to_be_visible()
