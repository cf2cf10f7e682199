"""Services, one service, and the map of who calls whom."""

import re

from playwright.async_api import expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_plan import CALLS, SERVICES
from tests.plugins.dashboard.rig_server import Dashboard
from tests.plugins.dashboard.test_overview import over


async def test_lists_services_and_sorts_them(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/services?{over(dashboard)}")
    table = page.get_by_role("table", name="Services")

    for name in SERVICES:
        await expect(table.get_by_role("link", name=name)).to_be_visible()
    await expect(table.get_by_role("img", name="95th percentile of payment over time")).to_be_visible()
    await table.get_by_role("button", name="Errors").click()
    await expect(table.get_by_role("columnheader", name="Errors")).to_have_attribute("aria-sort", "descending")
    await expect(table.get_by_role("row").nth(1)).to_contain_text("many errors")
    await expect(table.get_by_role("row").nth(4)).to_contain_text("inventory")
    assert await serious_findings(page, within="main") == []


async def test_finds_services_by_name(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/services?{over(dashboard)}")
    await expect(page.get_by_role("table", name="Services").get_by_role("row")).to_have_count(5)

    await page.keyboard.press("/")
    await page.keyboard.type("pay")

    await expect(page.get_by_role("table", name="Services").get_by_role("row")).to_have_count(2)
    await expect(page).to_have_url(re.compile("search=pay"))
    await page.get_by_role("searchbox", name="Find services by name").fill("nothing at all")
    await expect(page.get_by_text("No service has “nothing at all” in its name")).to_be_visible()


async def test_shows_a_service(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/services/payment?{over(dashboard)}")

    await expect(page.get_by_text("many errors")).to_be_visible()
    await expect(page.get_by_role("figure", name=re.compile("^Requests: 2 lines. succeeded: "))).to_be_visible()
    await expect(
        page.get_by_role("figure", name=re.compile("^Duration: 3 lines. p99: now .* and 4[.]"))
    ).to_be_visible()
    await expect(page.get_by_role("table", name="Operations")).to_contain_text("INSERT charges")
    await expect(page.get_by_role("table", name="Called by").get_by_role("link", name="checkout")).to_be_visible()
    await expect(page.get_by_role("table", name="Calls", exact=True)).to_contain_text("postgresql at db-1")
    await expect(page.get_by_role("table", name="Frequent errors")).to_contain_text("card declined for order")
    await expect(page.get_by_role("table", name="Recent error logs")).to_contain_text("charge failed")
    runs_on = page.get_by_role("table", name="Runs on")
    await expect(runs_on.get_by_role("link", name="web-2")).to_be_visible()
    await expect(runs_on.get_by_role("link", name="shop-payment-1")).to_be_visible()
    assert await serious_findings(page, within="main") == []


async def test_leads_to_the_slowest_trace(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/services/checkout?{over(dashboard)}")

    await page.get_by_role("table", name="Slow traces").get_by_role("link").first.click()

    await expect(page).to_have_url(re.compile(f"/traces/{dashboard.slow_trace}"))


async def test_a_click_on_a_bar_opens_the_traces_of_that_time(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/services/checkout?{over(dashboard)}")
    chart = page.get_by_role("figure", name=re.compile("^Requests: "))
    area = chart.locator(".u-over")
    box = await area.bounding_box()
    assert box is not None

    await area.click(position={"x": box["width"] / 2, "y": box["height"] / 2})

    await expect(page).to_have_url(re.compile(r"/traces\?.*service=checkout"))
    middle = dashboard.now_ns // 10**6 - 1_800_000
    times = {name: int(value) for name, value in re.findall(r"(from|to)=(\d+)", page.url)}
    assert times["from"] - 90_000 <= middle <= times["to"] + 90_000
    assert times["to"] - times["from"] <= 120_000


async def test_a_mark_of_the_duration_opens_its_trace(open_page: OpenPage, dashboard: Dashboard) -> None:
    # The slow checkout alone stands at the top.
    at = dashboard.at(1100) // 10**6
    page = await open_page(f"/services/payment?from={at - 300_000}&to={at + 300_000}")
    area = page.get_by_role("figure", name=re.compile("^Duration: ")).locator(".u-over")
    box = await area.bounding_box()
    assert box is not None

    await area.click(position={"x": box["width"] / 2, "y": box["height"] * (1 - 1 / 1.06)})

    await expect(page).to_have_url(re.compile(f"/traces/{dashboard.slow_trace}"))


async def test_says_that_a_service_is_not_there(open_page: OpenPage, dashboard: Dashboard, watch: object) -> None:
    watch.allow(r"refused: 404 GET /api/services/nobody/view", "404")  # type: ignore[attr-defined]
    page = await open_page(f"/services/nobody?{over(dashboard)}")

    await expect(page.get_by_text("nobody has sent nothing in this time range")).to_be_visible()


async def test_draws_who_calls_whom(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/map?{over(dashboard)}")
    canvas = page.get_by_role("application", name="Service map")

    for name in SERVICES:
        await expect(canvas.get_by_role("link", name=name)).to_be_visible()
    await expect(canvas.get_by_text("postgresql at db-1")).to_be_visible()
    await expect(canvas.get_by_role("img", name="database").first).to_be_visible()
    await expect(canvas.get_by_role("img", name="many errors").first).to_be_visible()
    for caller, callee in CALLS:
        await expect(canvas.get_by_role("img", name=re.compile(f"^{caller} calls {callee}: "))).to_be_attached()
    assert await serious_findings(page, within="main") == []


async def test_keeps_the_places_of_the_map_over_a_refresh(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page("/map?from=now-3h&to=now&refresh=0")
    node = page.get_by_role("link", name="payment")
    await expect(node).to_be_visible()
    canvas = await page.get_by_role("application", name="Service map").bounding_box()
    assert canvas is not None
    await page.mouse.move(canvas["x"] + 30, canvas["y"] + 30)
    await page.mouse.down()
    await page.mouse.move(canvas["x"] + 90, canvas["y"] + 70, steps=4)
    await page.mouse.up()
    before = await node.bounding_box()

    async with page.expect_response(re.compile("/api/services/map")):
        await page.get_by_role("button", name="Refresh now").click()

    await expect(node).to_be_visible()
    assert await node.bounding_box() == before


async def test_shows_what_is_around_a_service(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/map?{over(dashboard)}")
    await page.get_by_role("combobox", name="Around").select_option("payment")

    await expect(page).to_have_url(re.compile("service=payment"))
    await expect(page.get_by_role("link", name="frontend")).to_have_count(0)
    await page.get_by_role("radio", name="2", exact=True).click()
    await expect(page.get_by_role("link", name="frontend")).to_be_visible()
    await page.get_by_role("combobox", name="Around").select_option("Around all services")
    await expect(page).not_to_have_url(re.compile("service=payment"))


async def test_opens_a_service_of_the_map_by_keyboard(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/map?{over(dashboard)}")
    await page.get_by_role("link", name="inventory").focus()

    await page.keyboard.press("Enter")

    await expect(page.get_by_role("heading", name="inventory")).to_be_visible()


async def test_shows_the_map_as_a_table(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/map?view=table&{over(dashboard)}")
    table = page.get_by_role("table", name="Calls")

    await expect(table.get_by_role("row")).to_have_count(9)
    await page.get_by_role("searchbox", name="Find in the map").fill("redis")
    await expect(table.get_by_role("row")).to_have_count(2)
    await page.get_by_role("searchbox", name="Find in the map").fill("")
    await page.get_by_role("button", name="Databases and queues").click()
    await expect(table.get_by_role("row")).to_have_count(5)
    assert await serious_findings(page, within="main") == []


async def test_the_map_fits_a_phone(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page("/map?from=now-3h", size="phone", dark=True)

    await expect(page.get_by_role("link", name="payment")).to_be_visible()
    assert await page.evaluate("document.querySelector('main').scrollWidth") <= 390
