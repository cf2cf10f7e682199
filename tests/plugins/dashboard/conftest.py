"""A real server with real data, and a real browser: what tests of the dashboard's pages are written with.

A page's tests lie in test_PAGE.py and look like this:

    from playwright.async_api import expect

    async def test_lists_the_services(open_page: OpenPage, dashboard: Dashboard) -> None:
        page = await open_page("/services")

        await expect(page.get_by_role("heading", name="Services")).to_be_visible()
        await expect(page.get_by_role("link", name="payment")).to_be_visible()

Async tests that ask for one of these fixtures run in the session's event loop by themselves; write `async def` and
nothing else. Elements are found by role and name (`get_by_role`), which proves accessibility too; waiting is done by
`expect(...)`, never by sleeping.

Fixtures:

- `dashboard` (`rig_server.Dashboard`): the server, once per worker, with the shop's data. Its docstring and those of
  `rig_plan` and `rig_metrics` say what to expect: services, hosts, containers, counts, ids, when what happened. Other
  tests share it: make what you change under names of your own.
- `open_page(path, role="viewer", tenant="default", size="desktop", dark=False, **context options)`: a page of a new
  context, signed in as a user of that role, or as nobody with `role=None`. `size` is also "phone".
- `watch` (`rig_browser.Watch`): at its end a test fails for every console error, page error, violation of the
  content security policy, failed or refused (>= 400) request, request to another origin, and dialog. A test that
  brings about one itself allows it: `watch.allow(r"refused: 403 POST /api/users")`.
- `browser`: for contexts that `open_page` does not make.

`await dashboard.add_hostile()` and `add_large()` bring hostile and large telemetry into tenants of their own (use
`tenant="hostile"` or `"large"`); `async with dashboard.flood(1000):` sends that many log lines a second;
`await dashboard.play_shop(first=1190, prefix="my-")` is an application of the SDK that comes to life: on a server of
one's own (`dashboard_in`), for its services would show on the pages of other tests.

`rig_axe.serious_findings(page)` gives the serious accessibility findings, in words. `take_screenshot(page, "name")`
keeps a picture among the artefacts (`OPHION_TEST_ARTEFACTS`, build/screenshots); every failed test leaves one there.

The pages are those that `make dashboard` has built. `OPHION_DASHBOARD_STATIC=DIR pytest ...` drives another build,
such as one of `OPHION_STATIC=DIR npx vite build`. `PYTHONPATH=tests python -m tests.plugins.dashboard.rig_server`
keeps a server with the data running and prints its address.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from requirement import unavailable
from tests.plugins.dashboard.rig_browser import (
    Size,
    Watch,
    chromium,
    context_options,
    keep_failure,
    running_browser,
    session_of,
)
from tests.plugins.dashboard.rig_server import Dashboard, running_dashboard, user_name

_RIG = {"dashboard", "browser", "open_page"}
_SECONDS = 300
_FAILED = pytest.StashKey[bool]()


class OpenPage(Protocol):
    """Opens a page, see the module's docstring."""

    async def __call__(
        self,
        path: str = "/",
        role: str | None = "viewer",
        *,
        tenant: str = "default",
        size: Size = "desktop",
        dark: bool = False,
        **options: Any,
    ) -> Page: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every test of the rig in the loop of its server and browser; the first one also waits for their start."""
    for item in items:
        if isinstance(item, pytest.Function) and _RIG & set(item.fixturenames):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember for the fixtures whether the test has failed."""
    report: Any = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@asynccontextmanager
async def dashboard_in(directory: Path) -> AsyncIterator[Dashboard]:
    """Run a server with the shop's data and pages that can be driven."""
    chromium()
    async with running_dashboard(directory) as running:
        if "dashboard is missing" in (await running.server.get("/", key="")).text:
            unavailable("needs the built pages: make dashboard")
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dashboard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dashboard]:
    """The server with the shop's data."""
    async with dashboard_in(tmp_path_factory.mktemp("dashboard") / "server") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser."""
    async with running_browser() as running:
        yield running


@pytest.fixture(scope="session")
def sessions() -> dict[str, Any]:
    """Cookies of users who have signed in, by their name."""
    return {}


@pytest.fixture
def watch(dashboard: Dashboard) -> Iterator[Watch]:
    """What pages must not do."""
    watching = Watch(dashboard.url)
    yield watching
    assert not watching.unexpected(), "\n".join(watching.unexpected())


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    dashboard: Dashboard, browser: Browser, watch: Watch, sessions: dict[str, Any], request: pytest.FixtureRequest
) -> AsyncIterator[OpenPage]:
    """Opens pages, closes them at the end and keeps a picture of them when the test has failed."""
    contexts: list[BrowserContext] = []

    async def open_one(
        path: str = "/",
        role: str | None = "viewer",
        *,
        tenant: str = "default",
        size: Size = "desktop",
        dark: bool = False,
        **options: Any,
    ) -> Page:
        name = user_name(role, tenant) if role else ""
        if name and name not in sessions:
            sessions[name] = await session_of(browser, dashboard.url, name)
        if not name:
            watch.allow("refused: 401 GET /api/auth/me$")
        wanted = context_options(dashboard.url, size=size, dark=dark, storage_state=sessions.get(name), **options)
        context = await browser.new_context(**wanted)
        contexts.append(context)
        await watch.attach(context)
        page = await context.new_page()
        await page.goto(path)
        return page

    yield open_one
    if request.node.stash.get(_FAILED, False):
        await keep_failure([page for context in contexts for page in context.pages], request.node.name)
    for context in contexts:
        await context.close()
