"""The page of metrics: PromQL with completion, the builder, charts, tables, exemplars, export."""

import csv
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from playwright.async_api import Locator, Page, expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_browser import Watch, take_completion
from tests.plugins.dashboard.rig_plan import REGIONS
from tests.plugins.dashboard.rig_server import Dashboard

BY_REGION = "sum by (shop_region) (rate(shop_orders_placed_total[5m]))"
BUCKETS = 'http_server_request_duration_seconds_bucket{service_name="payment"}'
P95 = f"histogram_quantile(0.95, sum by (le) (rate({BUCKETS}[5m])))"


def editor(page: Page, letter: str = "A") -> Locator:
    return page.get_by_role("textbox", name=f"PromQL of query {letter}")


def times(dashboard: Dashboard) -> str:
    """Return the search of a URL that shows the time of the data."""
    now = dashboard.now_ns // 10**6
    return f"from={now - 90 * 60_000}&to={now}"


def chart(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=re.compile(re.escape(name)))


def asked(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get("q", [])


async def test_completes_and_runs_what_is_typed(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}")
    await editor(page).click()
    await page.keyboard.type("sum by (shop_region) (rate(shop_ord", delay=20)
    await take_completion(page, "shop_orders_placed_total")
    await page.keyboard.type("[5m]")
    await page.keyboard.press("Control+Enter")

    await expect(chart(page, f"{len(REGIONS)} lines")).to_be_visible()
    assert asked(page) == [BY_REGION]
    await editor(page).click()
    await page.keyboard.press("Control+A")
    await page.keyboard.type('shop_orders_placed_total{shop_region="', delay=20)
    await expect(page.get_by_role("option", name=REGIONS[0])).to_be_visible()


async def test_shows_what_is_wrong_with_its_place(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    watch.allow("refused: 400 POST /api/metrics/query")
    page = await open_page(f"/metrics?{times(dashboard)}&q={quote('sum(rate(shop_carts_open))')}")

    wrong = page.get_by_role("group", name="Query A").get_by_role("alert")
    await expect(wrong).to_contain_text(re.compile(r"Line 1, column \d+"))
    await editor(page).fill("shop_carts_open")
    await page.keyboard.press("Control+Enter")
    await expect(wrong).to_have_count(0)
    await expect(chart(page, "shop_carts_open")).to_be_visible()


async def test_builder_and_code_are_two_views_of_a_query(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q={quote(BY_REGION)}")
    query = page.get_by_role("group", name="Query A")
    await query.get_by_role("radio", name="Builder").click()

    builder = page.get_by_role("group", name="Builder of query A")
    await expect(builder.get_by_role("combobox", name="Metric")).to_have_value("shop_orders_placed_total")
    await expect(builder.get_by_label("Over time")).to_have_value("rate")
    await builder.get_by_label("Aggregation").select_option("max")
    await builder.get_by_role("button", name="Add a filter").click()
    await builder.get_by_role("combobox", name="Label").fill("shop_region")
    await page.get_by_role("option", name="shop_region").click()
    await builder.get_by_role("combobox", name="Value").click()
    await page.get_by_role("option", name=REGIONS[1]).click()
    await expect(chart(page, "1 line")).to_be_visible()
    made = f'max by (shop_region) (rate(shop_orders_placed_total{{shop_region="{REGIONS[1]}"}}[5m]))'
    assert asked(page) == [made]

    await query.get_by_role("radio", name="Code").click()
    await expect(editor(page)).to_have_text(made)
    await editor(page).fill(f"{made} > 0")
    await query.get_by_role("radio", name="Builder").click()
    await expect(page.get_by_role("status")).to_contain_text("stays code")
    await expect(editor(page)).to_be_visible()


async def test_begins_with_what_a_metric_of_the_list_is_for(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}")
    search = page.get_by_role("searchbox", name="Search metrics")
    await search.wait_for()
    await page.keyboard.press("/")
    await expect(search).to_be_focused()
    await page.keyboard.type("orders shop placed")
    await expect(page.get_by_role("button", name=re.compile("^shop_carts_open"))).to_have_count(0)
    await page.get_by_role("button", name=re.compile("^shop_orders_placed_total counter")).click()

    await expect(editor(page)).to_have_text("rate(shop_orders_placed_total[5m])")
    await expect(chart(page, "rate(shop_orders_placed_total[5m])")).to_be_visible()


async def test_keeps_several_queries_in_the_url(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q=shop_carts_open")
    await expect(chart(page, "shop_carts_open")).to_be_visible()
    await page.get_by_role("button", name="Add query").click()
    await editor(page, "B").fill("sum(shop_carts_open)")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("button", name=re.compile("^B · sum"))).to_be_visible()
    await page.reload()

    await expect(editor(page, "B")).to_have_text("sum(shop_carts_open)")
    await page.get_by_role("button", name="Hide query A").click()
    await expect(chart(page, "sum(shop_carts_open): 1 line")).to_be_visible()
    await page.get_by_role("button", name="Remove query A").click()
    await expect(editor(page)).to_have_text("sum(shop_carts_open)")
    await page.get_by_role("group", name="Query A").get_by_role("button", name="Queries that ran before").click()
    await page.get_by_role("menuitem", name="shop_carts_open", exact=True).click()
    await expect(editor(page)).to_have_text("shop_carts_open")


async def test_exemplar_opens_its_trace(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&exemplars=true&q={quote(P95)}")

    await expect(chart(page, "histogram_quantile")).to_be_visible()
    await page.get_by_role("button", name=f"trace {dashboard.slow_trace[:8]}").first.click()
    await page.wait_for_url(re.compile(f"/traces/{dashboard.slow_trace}"))


async def test_shows_values_as_a_table_and_at_one_time(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q={quote(BY_REGION)}")
    await page.get_by_role("radio", name="Table").click()
    table = page.get_by_role("table", name="Series")
    for name in ("shop_region", "Last", "Min", "Mean", "Max"):
        await expect(table.get_by_role("columnheader", name=name)).to_be_visible()
    for region in REGIONS:
        await expect(table.get_by_role("cell", name=region, exact=True)).to_be_visible()
    await page.get_by_role("radio", name="Instant").click()
    await expect(table.get_by_role("columnheader", name="Value")).to_be_visible()
    await expect(table.get_by_role("row")).to_have_count(len(REGIONS) + 1)


async def test_exports_as_csv(open_page: OpenPage, dashboard: Dashboard, tmp_path: Path) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q={quote(BY_REGION)}")
    await expect(chart(page, f"{len(REGIONS)} lines")).to_be_visible()
    await page.get_by_role("button", name="Share").click()
    async with page.expect_download() as download:
        await page.get_by_role("menuitem", name="Export as CSV").click()

    file = tmp_path / "metrics.csv"
    await (await download.value).save_as(file)
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    assert len(rows) > 3 * 60
    assert any(REGIONS[0] in cell for row in rows for cell in row)


async def test_operator_puts_a_query_on_a_new_dashboard(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q={quote(BY_REGION)}", role="operator")
    await expect(chart(page, f"{len(REGIONS)} lines")).to_be_visible()
    await page.get_by_role("button", name="Add to a dashboard").click()
    dialog = page.get_by_role("dialog", name="Add to a dashboard")
    await dialog.get_by_label("Title of the panel").fill("Orders by region")
    await dialog.get_by_label("Title of the dashboard").fill("Orders of metrics")
    await dialog.get_by_role("button", name="Add", exact=True).click()

    await expect(page.get_by_role("heading", name="Orders of metrics", level=1)).to_be_visible()
    panel = page.get_by_role("region", name="Orders by region")
    await expect(panel.get_by_role("figure", name=re.compile(f"{len(REGIONS)} lines"))).to_be_visible()


async def test_viewer_is_not_offered_what_it_may_not_do(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/metrics?{times(dashboard)}&q=shop_carts_open")
    await expect(chart(page, "shop_carts_open")).to_be_visible()
    await expect(page.get_by_role("button", name="Add to a dashboard")).to_have_count(0)
    await expect(page.get_by_role("button", name="Share")).to_be_enabled()


async def test_is_accessible_with_editor_builder_and_table(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(
        f"/metrics?{times(dashboard)}&exemplars=true&q={quote(P95)}&q=shop_carts_open", size="phone", dark=True
    )
    await expect(chart(page, "histogram_quantile")).to_be_visible()
    await page.get_by_role("group", name="Query B").get_by_role("radio", name="Builder").click()
    await expect(page.get_by_role("combobox", name="Metric")).to_be_visible()
    assert await serious_findings(page, within="#content") == []
    assert await page.evaluate("document.querySelector('.content').scrollWidth <= innerWidth")
