"""Texts that want to be code do nothing: in telemetry, in links, in dashboards, on no page."""

from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_browser import Watch, settled
from tests.plugins.dashboard.rig_hostile import (
    BAD_LINK_YAML,
    DASHBOARD_YAML,
    HOSTILE_SERVICE,
    HOSTILE_TENANT,
    HOSTILE_TRACE,
    ODD_PATHS,
    PAYLOADS,
    text,
)
from tests.plugins.dashboard.rig_server import Dashboard

# Nothing of the pages themselves is any of this.
INJECTED = """() => {
  const handlers = [...document.querySelectorAll('*')].filter((element) =>
    [...element.attributes].some(({ name }) => name.startsWith('on')))
  const links = [...document.querySelectorAll('[href], [src], [action]')].filter((element) =>
    ['href', 'src', 'action'].some((name) => /^\\s*(javascript|data:text)/i.test(element.getAttribute(name) ?? '')))
  const foreign = document.querySelectorAll('iframe, object, embed, math, base, script:not([src])')
  return [...handlers, ...links, ...foreign].map((element) => element.outerHTML.slice(0, 200))
}"""
PAGES = {
    "overview": "/",
    "services": "/services",
    "service": f"/services/{quote(HOSTILE_SERVICE, safe='')}",
    "map": "/map",
    "hosts": "/hosts",
    "host": f"/hosts/{quote(text(2), safe='')}",
    "containers": "/containers",
    "metrics": "/metrics?q=hostile_gauge&exemplars=true",
    "traces": "/traces",
    "trace": f"/traces/{HOSTILE_TRACE}",
    "trace flame": f"/traces/{HOSTILE_TRACE}?tab=flame",
    "trace spans": f"/traces/{HOSTILE_TRACE}?tab=spans",
    "trace logs": f"/traces/{HOSTILE_TRACE}?tab=logs",
    "trace json": f"/traces/{HOSTILE_TRACE}?tab=json",
    "logs": "/logs",
}


async def assert_harmless(page: Page, watch: Watch, where: str) -> None:
    """Assert that no payload has run or become an element, and that the page goes on."""
    for frame in page.frames:
        assert await frame.evaluate("() => window.pwned") is None, where
    assert await page.evaluate(INJECTED) == [], where
    assert await page.evaluate("() => Object.keys(Object.prototype).length === 0"), where
    assert watch.dialogs == [], where
    assert not watch.unexpected(), f"{where}: {watch.unexpected()}"


async def test_telemetry_is_shown_as_text(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    await dashboard.add_hostile()
    page = await open_page("/", "admin", tenant=HOSTILE_TENANT)
    for name, path in PAGES.items():
        await page.goto(path)
        await settled(page)
        await assert_harmless(page, watch, name)


async def test_links_of_strangers_do_nothing(open_page: OpenPage, watch: Watch) -> None:
    # What such links ask for is refused, and the page says so.
    watch.allow("^refused: 4(00|04|22) (GET|POST) ")
    page = await open_page("/")
    for path in ODD_PATHS:
        await page.goto(path)
        await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        await expect(page.get_by_test_id("skeleton").locator("visible=true")).to_have_count(0)
        await assert_harmless(page, watch, path)
        assert page.url.startswith(watch.url + "/")


async def test_sign_in_leads_to_no_other_site(open_page: OpenPage, watch: Watch) -> None:
    page = await open_page("/sign-in?next=//evil.example/&redirect=javascript:window.pwned=1", role=None)
    await page.get_by_label("User name").fill("viewer")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    await assert_harmless(page, watch, "sign-in")
    assert page.url.startswith(watch.url + "/")


@pytest.mark.parametrize("document", [DASHBOARD_YAML, BAD_LINK_YAML], ids=["texts", "link"])
async def test_dashboard_files_do_nothing(
    open_page: OpenPage, dashboard: Dashboard, watch: Watch, document: str
) -> None:
    # What sanitises Markdown parses it under the policy of the page, which refuses its <style>, as it should.
    watch.allow("^refused: 422 POST /api/dashboards/import", "style-src")
    await dashboard.add_hostile()
    page = await open_page("/dashboards", "operator", tenant=HOSTILE_TENANT)
    await settled(page)
    await page.get_by_role("button", name="Import YAML").click()
    dialog = page.get_by_role("dialog", name="Import a dashboard")
    await dialog.get_by_role("textbox", name="or its text").fill(document)
    await dialog.get_by_role("button", name="Import", exact=True).click()

    if document == DASHBOARD_YAML:
        await expect(page.get_by_role("heading", name="window.pwned=31", level=1)).to_be_visible()
        await settled(page)
        await page.get_by_text("click", exact=True).click()
    else:
        await expect(dialog.get_by_role("alert")).to_contain_text("link")
    await assert_harmless(page, watch, "dashboard")
    await page.goto("/dashboards")
    await settled(page)
    await assert_harmless(page, watch, "list of dashboards")


async def test_payloads_stand_on_the_page_as_they_are(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    await dashboard.add_hostile()
    page = await open_page("/services", tenant=HOSTILE_TENANT)
    await settled(page)

    for payload in PAYLOADS[:3]:
        await expect(page.get_by_role("main").get_by_text(payload).first).to_be_visible()
