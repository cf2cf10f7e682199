"""Write the pictures of the README: the dashboard in the light and in the dark, as the tests' server shows it.

python scripts/take_screenshots.py     # docs/images/dashboard-light.png and dashboard-dark.png

Needs the built pages (`make dashboard`) and Chromium. The light one is the overview, the dark one a slow trace.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.async_api import Browser, Page  # noqa: E402

from tests.plugins.dashboard.rig_browser import context_options, running_browser, session_of, settled  # noqa: E402
from tests.plugins.dashboard.rig_plan import SLOW, trace_id  # noqa: E402
from tests.plugins.dashboard.rig_server import Dashboard, running_dashboard  # noqa: E402

IMAGES: Final = ROOT / "docs" / "images"


async def open_page(browser: Browser, dashboard: Dashboard, path: str, *, dark: bool) -> Page:
    """Return a page at a path, as an administrator sees it."""
    state = await session_of(browser, dashboard.url, "chief")
    context = await browser.new_context(**context_options(dashboard.url, dark=dark, storage_state=state))
    page = await context.new_page()
    await page.goto(path)
    await settled(page)
    return page


async def take() -> None:
    """Take both pictures."""
    with tempfile.TemporaryDirectory() as directory:
        async with running_dashboard(Path(directory)) as dashboard, running_browser() as browser:
            light = await open_page(browser, dashboard, "/", dark=False)
            await light.screenshot(path=IMAGES / "dashboard-light.png")
            dark = await open_page(browser, dashboard, f"/traces/{trace_id(SLOW)}", dark=True)
            await dark.get_by_role("treegrid").get_by_role("row", name="INSERT charges").click()
            await dark.get_by_role("complementary").get_by_role("figure", name="CPU").wait_for()
            await settled(dark)
            await dark.screenshot(path=IMAGES / "dashboard-dark.png")


if __name__ == "__main__":
    asyncio.run(take())
