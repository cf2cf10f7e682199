"""The first page: problems, services, hosts, containers, what comes in, and what to do while nothing does."""

import re

from playwright.async_api import expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_plan import CONTAINERS, HOSTS, SERVICES
from tests.plugins.dashboard.rig_server import Dashboard


def over(dashboard: Dashboard, hours: float = 1) -> str:
    """Return the part of a URL for the last hours of the shop's data."""
    end = dashboard.now_ns // 10**6
    return f"from={end - round(hours * 3_600_000)}&to={end}"


async def test_shows_what_is_not_well_first(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/?{over(dashboard)}")

    problems = page.get_by_role("list", name="Problems")
    await expect(problems.get_by_role("link", name="payment")).to_be_visible()
    await expect(problems.get_by_role("listitem").first).to_contain_text("requests fail")
    await problems.get_by_role("link", name="payment").click()
    await expect(page.get_by_role("heading", name="payment", exact=True)).to_be_visible()
    # The range goes along.
    await expect(page).to_have_url(re.compile(rf"/services/payment\?{over(dashboard)}"))


async def test_lists_services_hosts_and_containers(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/?{over(dashboard)}")

    for table, names in (("Services", SERVICES), ("Hosts", HOSTS), ("Containers", CONTAINERS)):
        rows = page.get_by_role("table", name=table)
        for name in names:
            await expect(rows.get_by_role("link", name=name, exact=True).first).to_be_visible()
    hosts = page.get_by_role("table", name="Hosts")
    await expect(hosts.get_by_role("meter", name="Memory of web-1")).to_be_visible()
    await expect(hosts.get_by_role("img", name=re.compile("CPU of web-1 over time"))).to_be_visible()
    await expect(page.get_by_role("table", name="Frequent errors")).to_contain_text("payment refused")
    await expect(page.get_by_role("table", name="Slowest operations")).to_contain_text("POST /checkout")
    await expect(page.get_by_text("Metric samples")).to_be_visible()
    assert await serious_findings(page, within="main") == []


async def test_opens_a_host_by_keyboard(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/?{over(dashboard)}")
    rows = page.get_by_role("table", name="Hosts").get_by_role("row")
    await rows.nth(1).focus()

    await page.keyboard.press("ArrowDown")
    await expect(rows.nth(2)).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(re.compile("/hosts/"))


async def test_says_what_to_do_while_nothing_has_come_in(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_tenant("fresh")
    page = await open_page("/", tenant="fresh")

    for way in ("Send from an application", "Instrument a container", "Watch a host"):
        await expect(page.get_by_role("heading", name=way)).to_be_visible()
    await expect(page.get_by_text("127.0.0.1:4317").first).to_be_visible()
    assert await serious_findings(page, within="main") == []


async def test_fits_a_phone_in_the_dark(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page("/?from=now-3h", size="phone", dark=True)

    await expect(page.get_by_role("list", name="Problems")).to_be_visible()
    await expect(page.get_by_role("table", name="Containers")).to_be_visible()
    assert await page.evaluate("document.querySelector('main').scrollWidth") <= 390
    assert await serious_findings(page, within="main") == []
