"""Hosts and containers: their lists, and each one with its figures over time."""

import re

from playwright.async_api import expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_plan import BUSY_HOST, CONTAINERS, HOSTS, INSTANCES
from tests.plugins.dashboard.rig_server import Dashboard
from tests.plugins.dashboard.test_overview import over


async def test_lists_hosts_with_their_figures(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/hosts?{over(dashboard)}")
    table = page.get_by_role("table", name="Hosts")

    for name in HOSTS:
        await expect(table.get_by_role("link", name=name)).to_be_visible()
        await expect(table.get_by_role("meter", name=f"CPU of {name}")).to_be_visible()
    disk = table.get_by_role("meter", name="Fullest file system of web-1: /var")
    await expect(disk).to_have_attribute("aria-valuenow", "83")
    await expect(table.get_by_role("link", name="inventory")).to_be_visible()
    assert await serious_findings(page, within="main") == []


async def test_finds_hosts_by_name(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/hosts?search=web-3&{over(dashboard)}")

    await expect(page.get_by_role("table", name="Hosts").get_by_role("row")).to_have_count(2)
    await page.get_by_role("searchbox", name="Find hosts by name").fill("mainframe")
    await expect(page.get_by_text("No host has “mainframe” in its name")).to_be_visible()


async def test_shows_a_host_over_time(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/hosts/{BUSY_HOST}?{over(dashboard)}")

    cpu = page.get_by_role("figure", name=re.compile("^CPU by state: "))
    await expect(cpu).to_have_attribute("aria-label", re.compile("user: now .* and 6[0-9]"))
    for title in ("Memory by state", "Load", "Network", "Disk reads and writes", "File systems, used share"):
        await expect(page.get_by_role("figure", name=re.compile(f"^{title}: "))).to_be_visible()
    paging = page.get_by_role("region", name="Paging")
    await expect(paging).to_contain_text("hostmetrics receiver needs the scraper paging")
    await expect(page.get_by_role("table", name="Services on it").get_by_role("link", name="payment")).to_be_visible()
    await expect(page.get_by_role("link", name="shop-payment-1")).to_be_visible()
    await expect(page.get_by_role("region", name="Attributes")).to_contain_text("host.arch")
    assert await serious_findings(page, within="main") == []


async def test_marks_the_time_one_came_from(open_page: OpenPage, dashboard: Dashboard) -> None:
    at = dashboard.at(1100) // 10**6
    page = await open_page(f"/hosts/{BUSY_HOST}?at={at}&{over(dashboard)}")

    note = page.get_by_role("note")
    await expect(note).to_contain_text("the time you came from")
    await expect(page.get_by_role("link", name="Open CPU by state in the metrics explorer")).to_be_visible()


async def test_a_host_leads_to_its_logs_and_containers(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/hosts/web-1?{over(dashboard)}")

    logs = page.get_by_role("main").get_by_role("link", name="Logs")
    await expect(logs).to_have_attribute("href", re.compile(r"/logs\?.*resource\.host\.name"))
    await page.get_by_role("main").get_by_role("link", name="Containers").first.click()
    await expect(page.get_by_role("table", name="Containers").get_by_role("row")).to_have_count(3)
    await page.get_by_role("button", name="host web-1").click()
    await expect(page.get_by_role("table", name="Containers").get_by_role("row")).to_have_count(1 + len(CONTAINERS))


async def test_says_that_a_host_is_not_there(open_page: OpenPage, dashboard: Dashboard, watch: object) -> None:
    watch.allow(r"refused: 404 GET /api/hosts/nobody", "404")  # type: ignore[attr-defined]
    page = await open_page(f"/hosts/nobody?{over(dashboard)}")

    await expect(page.get_by_text("nobody has sent nothing in this time range")).to_be_visible()


async def test_lists_containers(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/containers?{over(dashboard)}")
    table = page.get_by_role("table", name="Containers")

    for instance in INSTANCES:
        row = table.get_by_role("row").filter(has=page.get_by_role("link", name=instance.container))
        await expect(row.get_by_role("link", name=instance.host)).to_be_visible()
        await expect(row).to_contain_text(f"shop/{instance.service}")
    await page.get_by_role("searchbox", name="Find containers by name, image or service").fill("shop/payment")
    await expect(table.get_by_role("row")).to_have_count(2)
    assert await serious_findings(page, within="main") == []


async def test_shows_a_container_over_time(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/containers/shop-payment-1?{over(dashboard)}")

    await expect(page.get_by_text("2 restarts")).to_be_visible()
    await expect(page.get_by_role("figure", name=re.compile("^Memory: 3 lines.*limit: now 512 MiB"))).to_be_visible()
    for title in ("CPU", "Network", "Block I.O", "Processes and threads", "Uptime"):
        await expect(page.get_by_role("figure", name=re.compile(f"^{title}: "))).to_be_visible()
    facts = page.get_by_role("region", name="Container", exact=True)
    await expect(facts).to_contain_text("shop/payment")
    await expect(facts.get_by_role("link", name="web-2")).to_be_visible()
    await expect(page.get_by_role("table", name="Services in it").get_by_role("link", name="payment")).to_be_visible()
    logs = page.get_by_role("main").get_by_role("link", name="Logs")
    await expect(logs).to_have_attribute("href", re.compile(r"/logs\?.*resource\.container\.id"))
    assert await serious_findings(page, within="main") == []


async def test_a_host_and_a_container_fit_a_phone(open_page: OpenPage, dashboard: Dashboard) -> None:
    for path in (f"/hosts/web-1?{over(dashboard)}", f"/containers/shop-payment-1?{over(dashboard)}"):
        page = await open_page(path, size="phone", dark=True)
        await expect(page.get_by_role("figure", name=re.compile("^Network: "))).to_be_visible()
        assert await page.evaluate("document.querySelector('main').scrollWidth") <= 390
