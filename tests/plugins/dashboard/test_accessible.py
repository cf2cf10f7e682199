"""Every page for everybody: no grave finding of axe in the light and in the dark, and all of it by keyboard."""

import pytest
from playwright.async_api import Page, expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import COLOURS, serious_findings
from tests.plugins.dashboard.rig_browser import settled
from tests.plugins.dashboard.rig_keyboard import unreached, walk
from tests.plugins.dashboard.rig_plan import FAILED, SLOW, trace_id

PAGES = {
    "overview": "/",
    "services": "/services",
    "service": "/services/checkout?from=now-3h",
    "map": "/map",
    "hosts": "/hosts",
    "host": "/hosts/web-2",
    "containers": "/containers",
    "container": "/containers/shop-payment-1",
    "metrics": "/metrics?q=sum by (host_name) (rate(system_cpu_time_seconds_total[1m]))",
    "traces": "/traces",
    "trace": f"/traces/{trace_id(SLOW)}",
    "compare": f"/traces/compare?a={trace_id(SLOW)}&b={trace_id(FAILED)}",
    "logs": "/logs",
    "dashboards": "/dashboards",
    "new dashboard": "/dashboards/new",
    "agent": "/agent",
    "administration": "/admin",
    "no such page": "/nothing-here",
}
PLACES = {
    "o": "Overview",
    "d": "Dashboards",
    "s": "Services",
    "p": "Service map",
    "t": "Traces",
    "l": "Logs",
    "m": "Metrics",
    "h": "Hosts",
    "c": "Containers",
    "i": "Ophion itself",
    "a": "Administration",
}


DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


async def in_both_themes(page: Page) -> list[str]:
    """Return the findings of both themes, the theme before each."""
    found = []
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        await expect(page.locator("html")).to_have_attribute("data-theme", theme)
        await page.evaluate(DRAWN)
        findings = await serious_findings(page, only=COLOURS if theme == "dark" else ())
        found += [f"{theme}: {finding}" for finding in findings]
    return found


@pytest.mark.parametrize("name", PAGES)
async def test_page_has_no_grave_finding_and_can_be_walked_by_tab(open_page: OpenPage, name: str) -> None:
    page = await open_page(PAGES[name], role="admin")
    if name != "no such page":
        await settled(page)

    findings = await in_both_themes(page)
    stops = await walk(page)

    assert not findings, "\n".join(findings)
    assert len(stops) > len(PLACES), "Tab hardly goes anywhere"
    assert [stop.name for stop in stops if not stop.seen and "Skip" not in stop.name] == []
    unmarked = [stop.name for stop in stops if not stop.marked]
    assert not unmarked, f"one does not see that the focus is on {unmarked}"
    assert await unreached(page) == [], "looks clickable, and Tab does not reach it"


async def test_sign_in_has_no_grave_finding(open_page: OpenPage) -> None:
    page = await open_page(role=None)
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    assert await in_both_themes(page) == []


async def test_phone_has_no_grave_finding_and_no_sideways_scroll(open_page: OpenPage) -> None:
    page = await open_page("/", size="phone")
    for path in PAGES.values():
        await page.goto(path)
        if path != PAGES["no such page"]:
            await settled(page)
        wide = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is {wide} pixels wider than a phone"

    await page.get_by_role("button", name="Pages", exact=True).click()
    await page.get_by_role("navigation").get_by_role("link", name="Logs").click()
    await expect(page.get_by_role("heading", name="Logs", level=1)).to_be_visible()
    assert await serious_findings(page) == []


async def test_keys_lead_to_every_page(open_page: OpenPage) -> None:
    page = await open_page("/agent", role="admin")
    await settled(page)
    for key, name in PLACES.items():
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await expect(page.get_by_role("navigation").get_by_role("link", name=name, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.get_by_role("main")).to_be_focused()


async def test_help_lists_the_keys_and_gives_the_focus_back(open_page: OpenPage) -> None:
    page = await open_page("/services")
    await settled(page)
    help_button = page.get_by_role("button", name="Keyboard and help")
    await help_button.focus()

    await page.keyboard.press("Shift+?")

    dialog = page.get_by_role("dialog", name="Keyboard")
    await expect(dialog).to_contain_text("go to Service map")
    assert await serious_findings(page) == []
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(help_button).to_be_focused()


@pytest.mark.parametrize("path", ["/services", "/hosts", "/traces", "/logs", "/metrics", "/dashboards"])
async def test_slash_goes_to_the_search_of_a_page(open_page: OpenPage, path: str) -> None:
    page = await open_page(path)
    await settled(page)

    await page.keyboard.press("/")

    focused = page.locator("main :focus")
    await expect(focused).to_have_count(1)
    assert await focused.evaluate("(element) => element.matches('input, textarea, [contenteditable=true]')")
    await page.keyboard.type("?g")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_have_count(0)


async def test_palette_finds_pages_services_and_traces_by_keyboard(open_page: OpenPage) -> None:
    page = await open_page("/")
    await settled(page)

    await page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Find pages")
    await expect(palette.get_by_role("combobox")).to_be_focused()
    assert await serious_findings(page) == []
    await page.keyboard.type("payment")
    await expect(palette.get_by_role("option", name="payment").first).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="payment", level=1)).to_be_visible()

    await page.keyboard.press("Control+k")
    await page.keyboard.type(trace_id(SLOW))
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/traces/{trace_id(SLOW)}*")


async def test_skip_link_leads_to_the_content(open_page: OpenPage) -> None:
    page = await open_page("/services")
    await settled(page)

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("main")).to_be_focused()
