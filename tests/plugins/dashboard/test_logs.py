"""The page of logs: search, histogram, details, context, patterns and live tail."""

import re

from playwright.async_api import Locator, Page, expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_browser import Watch
from tests.plugins.dashboard.rig_plan import FAILED, trace_id
from tests.plugins.dashboard.rig_server import LARGE_TENANT, Dashboard

RANGE = "from=now-2h&to=now&refresh=0"


def records(page: Page, name: str = "Log records") -> Locator:
    """The lines of a list, and not the choices of a select, which are options too."""
    return page.get_by_role("listbox", name=name, exact=True).get_by_role("option")


async def test_shows_the_newest_records_and_counts_them_by_level(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}")

    await expect(page.get_by_role("heading", name=re.compile(r"^[\d,]+ records$"))).to_be_visible()
    await expect(page.get_by_role("figure", name=re.compile("Records by level: .*error: now"))).to_be_visible()
    await expect(records(page).first).to_be_visible()


async def test_searches_by_words_service_and_level(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}")
    await page.get_by_role("searchbox", name="Search logs").fill("card")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("q=card"))
    await page.get_by_label("Lowest level").select_option("error")
    await page.get_by_role("checkbox", name="payment", exact=True).check()

    await expect(page).to_have_url(re.compile(r"q=card.*level=error|level=error.*q=card"))
    await expect(page).to_have_url(re.compile("service=payment"))
    await expect(records(page).first).to_contain_text("error")
    for text in await records(page).all_inner_texts():
        assert "payment" in text
        assert "card" in text.lower()


async def test_a_link_restores_search_and_open_record(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&q=card&level=error")
    await records(page).first.click()
    await expect(page.get_by_role("region", name="Log record")).to_be_visible()
    link = page.url.partition("/logs")[2]

    again = await open_page(f"/logs{link}")

    await expect(again.get_by_role("region", name="Log record")).to_be_visible()
    await expect(again.get_by_role("searchbox", name="Search logs")).to_have_value("card")


async def test_goes_from_a_record_to_its_trace(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&trace={trace_id(FAILED)}&level=error")
    await records(page).first.click()

    await page.get_by_role("region", name="Log record").get_by_role("link", name="Open trace").click()

    await expect(page).to_have_url(re.compile(f"/traces/{trace_id(FAILED)}"))


async def test_narrows_by_an_attribute_of_a_record(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&service=payment")
    await records(page).first.click()
    record = page.get_by_role("region", name="Log record")

    await record.get_by_role("button", name=re.compile("^Only host.name = ")).click()

    await expect(page.get_by_role("searchbox", name="Search logs")).to_have_value(re.compile(r"^host\.name:web-\d$"))
    await expect(records(page).first).to_be_visible()


async def test_shows_the_lines_around_a_record(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&q=card&level=error")
    await records(page).first.click()
    await page.get_by_role("button", name="Lines around").click()

    around = page.get_by_role("listbox", name="Lines around the record")

    await expect(around.locator("[role=option][aria-selected=true]")).to_have_count(1)
    assert await around.get_by_role("option").count() > 5


async def test_moves_by_keyboard(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}")
    await page.get_by_role("listbox", name="Log records").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await expect(page.locator(".logs-line[aria-selected=true]")).to_have_attribute("aria-posinset", "2")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("region", name="Log record")).to_be_hidden()


async def test_groups_records_into_patterns(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&view=patterns")

    await expect(page.get_by_role("heading", name=re.compile(r"^\d+ patterns in "))).to_be_visible()
    await page.get_by_role("button", name=re.compile("^Show records like ")).first.click()

    await expect(records(page).first).to_be_visible()
    await expect(page.get_by_role("searchbox", name="Search logs")).not_to_have_value("")


async def test_follows_records_as_they_come(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_tenant(LARGE_TENANT)
    page = await open_page("/logs?live=true&q=service:flood", tenant=LARGE_TENANT)
    await expect(page.get_by_text(re.compile("^Following"))).to_be_visible()

    async with dashboard.flood(20, tenant=LARGE_TENANT):
        # Its sender is a program of its own, which takes a while to start beside other tests.
        await expect(records(page, "Live log records").first).to_contain_text("flood", timeout=60_000)


async def test_says_what_is_wrong_with_a_query(open_page: OpenPage, watch: Watch) -> None:
    watch.allow(r"422|400")
    page = await open_page(f"/logs?{RANGE}&q=(timeout")

    await expect(page.get_by_role("alert").first).to_contain_text("query")


async def test_says_what_to_do_where_nothing_matches(open_page: OpenPage) -> None:
    page = await open_page(f"/logs?{RANGE}&q=nosuchwordanywhere")

    await expect(page.get_by_text("No record matches")).to_be_visible()
