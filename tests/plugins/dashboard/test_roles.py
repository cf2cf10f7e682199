"""Roles: pages offer what a user may do, and the API refuses the rest by itself."""

import re

import pytest
from playwright.async_api import BrowserContext, expect

from ophion_agent.server import ROLE_PERMISSIONS, Permission, Role
from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_browser import Watch, settled
from tests.plugins.dashboard.rig_server import Dashboard
from tests.plugins.dashboard.test_accessible import PAGES

ADMIN_TABS = ["Users", "Tenants and retention", "Audit log"]
CHANGES = ("post", "put", "patch", "delete")


async def operations(dashboard: Dashboard) -> list[tuple[str, str, str]]:
    """Return method, path and permission of every route of the API."""
    document = await dashboard.server.ask("GET", "/api/openapi.json")
    found = [
        (method.upper(), re.sub(r"\{(\w+)\}", placeholder, path), operation.get("x-permission", ""))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("get", *CHANGES)
    ]
    assert len(found) > 90
    return found


def placeholder(parameter: re.Match[str]) -> str:
    """Return text that the route takes for a part of its path."""
    return {"version": "1", "id": "a" * 32}.get(parameter.group(1), "nobody")


async def ask(context: BrowserContext, method: str, path: str, **headers: str) -> tuple[int, str]:
    """Send a request with the cookies of a context, as a page would."""
    answer = await context.request.fetch(path, method=method, headers=headers, data={} if method != "GET" else None)
    return answer.status, await answer.text()


async def csrf_of(context: BrowserContext) -> str:
    [token] = [cookie["value"] for cookie in await context.cookies() if cookie["name"].endswith("ophion_csrf")]
    return token


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_api_refuses_what_a_role_may_not(open_page: OpenPage, dashboard: Dashboard, role: Role) -> None:
    context = (await open_page(role=role)).context
    token = await csrf_of(context)
    beyond = [
        (method, path)
        for method, path, permission in await operations(dashboard)
        if permission in set(Permission) - ROLE_PERMISSIONS[role]
    ]
    assert ("GET", "/api/users") in beyond

    answers = {
        f"{method} {path}": await ask(context, method, path, **{"X-CSRF-Token": token}) for method, path in beyond
    }

    assert {route: status for route, (status, _) in answers.items() if status != 403} == {}
    assert all("permission" in text for _, text in answers.values())


async def test_api_answers_nobody(open_page: OpenPage, dashboard: Dashboard) -> None:
    context = (await open_page(role=None)).context
    closed = [
        (method, path) for method, path, permission in await operations(dashboard) if permission in set(Permission)
    ]

    answers = {f"{method} {path}": (await ask(context, method, path))[0] for method, path in closed}

    assert {route: status for route, status in answers.items() if status != 401} == {}


async def test_no_change_goes_by_the_cookie_alone(open_page: OpenPage, dashboard: Dashboard) -> None:
    context = (await open_page(role="admin")).context
    changes = [
        (method, path)
        for method, path, permission in await operations(dashboard)
        if method in ("PUT", "PATCH", "DELETE") and permission in ROLE_PERMISSIONS[Role.ADMIN]
    ]

    answers = [await ask(context, method, path) for method, path in changes]

    assert changes
    assert {status for status, _ in answers} == {403}
    assert all("X-CSRF-Token" in text for _, text in answers)


@pytest.mark.parametrize("role", Role)
async def test_administration_shows_what_a_role_may(open_page: OpenPage, watch: Watch, role: Role) -> None:
    page = await open_page("/admin?tab=users", role=role)
    await settled(page)

    names = await page.get_by_role("tablist", name="Administration").get_by_role("tab").all_inner_texts()

    may_all = role == Role.ADMIN
    assert names == ["My account", "Keys", *ADMIN_TABS[: 2 * may_all], "Storage", *ADMIN_TABS[2:] * may_all]
    await expect(page.get_by_role("tab", name="Users" if may_all else "My account", selected=True)).to_be_visible()
    assert any(url.startswith(f"{watch.url}/api/users") for url in watch.requests) == may_all


@pytest.mark.parametrize("role", Role)
async def test_dashboards_are_changed_by_operators_only(open_page: OpenPage, role: Role) -> None:
    page = await open_page("/dashboards", role=role)
    await settled(page)

    expected = 0 if role == Role.VIEWER else 1
    await expect(page.get_by_role("button", name="New dashboard")).to_have_count(expected)
    await expect(page.get_by_role("button", name="Import YAML")).to_have_count(expected)
    await expect(page.get_by_role("region", name="Start from a template")).to_have_count(expected)
    await page.goto("/dashboards/new?template=host")
    await expect(page.get_by_role("region", name="CPU", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(expected)
    await expect(page.get_by_role("button", name="Move or resize CPU", exact=True)).to_have_count(expected)


async def test_pages_ask_for_nothing_that_a_viewer_may_not(open_page: OpenPage) -> None:
    page = await open_page("/", role=Role.VIEWER)
    # What is refused fails the test by itself.
    for path in PAGES.values():
        await page.goto(path)
        await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        await expect(page.get_by_test_id("skeleton").locator("visible=true")).to_have_count(0)
