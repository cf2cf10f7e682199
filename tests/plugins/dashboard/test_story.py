"""What a person does on the first evening: from the printed password to a dashboard in a file."""

import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Locator, Page, expect

from agent_process import eventually
from benchmarks.dashboard_payloads import log_lines
from tests.plugins.dashboard.conftest import OpenPage, dashboard_in
from tests.plugins.dashboard.rig_browser import settled
from tests.plugins.dashboard.rig_plan import BUSY_HOST, REGIONS, SLOW, trace_id, trace_plan
from tests.plugins.dashboard.rig_server import Dashboard

PASSWORD = re.compile(r"log in as admin with the password (\S+)")
PREFIX = "story-"
# The last 20 minutes of the shop; the slow checkout lies in their middle.
FIRST, MINUTES = 1000, 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dashboard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dashboard]:
    """A server of its own: services that appear here would show on the pages of other tests."""
    async with dashboard_in(tmp_path_factory.mktemp("story") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def sessions() -> dict[str, Any]:
    """Cookies of this server's users."""
    return {}


async def sign_in(page: Page, password: str) -> None:
    await page.get_by_label("User name").fill("admin")
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()


async def go(page: Page, name: str) -> None:
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()
    await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


async def click_at(page: Page, chart: str, share: float) -> None:
    """Click on a chart at a share of its range of time."""
    box = await page.get_by_role("figure", name=re.compile(f"^{chart}:")).locator(".u-over").bounding_box()
    assert box is not None, f"{chart} is not drawn"
    await page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.8)


async def test_from_the_printed_password_to_the_cpu_behind_a_slow_span(
    open_page: OpenPage, dashboard: Dashboard
) -> None:
    [password] = PASSWORD.findall(dashboard.server.log())
    page = await open_page("/", role=None)
    await sign_in(page, password)
    await expect(page.get_by_role("main").get_by_role("link", name=socket.gethostname()).first).to_be_visible()

    # An application with the SDK comes to life, and its services appear.
    await dashboard.play_shop(FIRST, PREFIX)
    slow = trace_id(SLOW, PREFIX)
    await dashboard.wait_for_trace(slow, sum(1 for _ in trace_plan(SLOW).walk()))
    await go(page, "Services")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"{PREFIX}payment", exact=True))
    await page.keyboard.press("r")
    await expect(row).to_contain_text("ms")
    await expect(row).to_contain_text("%")
    await row.get_by_role("link", name=f"{PREFIX}payment").click()
    await expect(page.get_by_role("heading", name=f"{PREFIX}payment", level=1)).to_be_visible()

    # A slow bar leads to its traces, and those to the waterfall.
    now = dashboard.now_ns // 10**6
    await page.goto(f"/services/{PREFIX}payment?from={now - MINUTES * 60_000}&to={now}")
    await settled(page)
    await click_at(page, "Requests", (dashboard.at(SLOW) // 10**6 - now + MINUTES * 60_000) / (MINUTES * 60_000))
    await expect(page.get_by_role("heading", name="Traces", level=1)).to_be_visible()
    await page.locator(f"main a[href*='{slow}']").first.click()
    waterfall = page.get_by_role("treegrid", name="Spans of the trace")
    await waterfall.get_by_role("row", name="INSERT charges").click()
    panel = page.get_by_role("complementary", name="Span INSERT charges")
    await expect(panel).to_contain_text("INSERT INTO charges")

    # The span's own logs, and the processor of its host at that second.
    await panel.get_by_role("link", name="Logs of this span").click()
    lines = page.get_by_role("listbox").get_by_role("option")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("slow statement: INSERT charges")
    await page.go_back()
    await expect(panel.get_by_role("figure", name="CPU")).to_contain_text("9")
    await panel.get_by_role("link", name=BUSY_HOST, exact=True).click()
    await expect(page.get_by_role("heading", name=BUSY_HOST, level=1)).to_be_visible()
    await expect(page.get_by_text("the time you came from")).to_be_visible()
    await expect(page.get_by_role("figure", name=re.compile("^CPU"))).to_be_visible()


async def test_logs_are_searched_with_a_histogram_and_followed(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page("/logs?from=now-3h")
    lines = page.get_by_role("listbox").get_by_role("option")
    await settled(page)

    await page.keyboard.press("/")
    await page.keyboard.type('"card declined" service:payment')
    await expect(lines.first).to_contain_text("charge failed: card declined")
    await expect(page.get_by_role("figure", name=re.compile("Records by level: 1 line.*error"))).to_be_visible()
    await lines.first.click()
    await expect(page.get_by_role("link", name=re.compile("trace", re.I)).first).to_be_visible()

    await page.goto("/logs?q=service:story-live")
    await settled(page)
    await page.get_by_role("button", name="Live tail").click()
    await expect(page.get_by_text("Following")).to_be_visible()
    await dashboard.send("logs", log_lines(1, 3, "story-live"))
    await expect(lines.filter(has_text="line 3 of the flood")).to_be_visible()
    await dashboard.send("logs", log_lines(4, 1, "story-live"))
    await expect(lines).to_have_count(4)


async def test_promql_is_completed_and_drawn(open_page: OpenPage) -> None:
    page = await open_page("/metrics?from=now-3h")
    await settled(page)

    editor = page.get_by_role("textbox", name="PromQL of query A")
    await editor.click()
    await page.keyboard.type("sum by (shop_region) (rate(shop_ord")
    await page.get_by_role("option", name="shop_orders_placed_total").click()
    await page.keyboard.type("[5m")
    await page.get_by_role("button", name="Run", exact=True).click()

    await expect(page.get_by_role("figure", name=f"{len(REGIONS)} lines")).to_be_visible()
    await page.wait_for_url("**q=sum*")
    for region in REGIONS:
        await expect(page.get_by_role("button", name=region)).to_be_visible()


async def test_dashboard_is_dragged_shared_kept_and_exported(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page("/dashboards", role="operator")
    await settled(page)
    await page.get_by_role("link", name="Template Host").click()
    cpu = page.get_by_role("region", name="CPU", exact=True)
    await expect(cpu).to_contain_text("%")

    # A panel goes elsewhere by the mouse, another by the keyboard.
    memory = page.get_by_role("region", name="Memory", exact=True)
    await drag(page, memory, cpu)
    await expect_before(memory, cpu)
    handle = cpu.get_by_role("button", name="Move or resize CPU")
    await handle.focus()
    width = await width_of(cpu)
    await page.keyboard.press("Shift+ArrowRight")
    await expect(page.get_by_role("status").filter(has_text="CPU")).to_have_count(1)

    async def is_wider() -> bool:
        return await width_of(cpu) > width

    await eventually(is_wider, "a wider panel", 10)

    await page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Title").fill("Story board")
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("heading", name="Story board", level=1)).to_be_visible()
    await page.wait_for_url(re.compile(r"/dashboards/(?!new)[^/?]+"))

    # What one shares, another sees: the dashboard by its link, its data of now by a snapshot.
    await page.get_by_role("button", name="Share", exact=True).click()
    link = await dialog.get_by_role("textbox", name="Link to this view").input_value()
    await dialog.get_by_role("button", name="Make a snapshot").click()
    snapshot = await dialog.get_by_role("textbox", name="Link to the snapshot").input_value()
    other = await open_page(link.removeprefix(dashboard.url))
    await expect(other.get_by_role("heading", name="Story board", level=1)).to_be_visible()
    await expect_before(
        other.get_by_role("region", name="Memory", exact=True), other.get_by_role("region", name="CPU", exact=True)
    )
    await other.goto(snapshot)
    await expect(other.get_by_text("frozen: data of")).to_be_visible()
    await expect(other.get_by_role("region", name="Memory", exact=True)).to_contain_text("%")

    # And as a file it comes back.
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="More", exact=True).click()
    async with page.expect_download() as downloading:
        await page.get_by_role("menuitem", name="Export YAML").click()
    file = parsed(await (await downloading.value).path())
    assert (file["format"], file["title"]) == (1, "Story board")
    assert [variable["name"] for variable in file["variables"]] == ["host"]
    assert {panel["title"] for panel in file["panels"]} >= {"CPU", "Memory"}


def parsed(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


async def drag(page: Page, panel: Locator, target: Locator) -> None:
    """Drag a panel by its title to where another one is."""
    start, end = await panel.get_by_role("heading").bounding_box(), await target.bounding_box()
    assert start is not None
    assert end is not None
    await page.mouse.move(start["x"] + 4, start["y"] + start["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(end["x"] + 20, end["y"] + 10, steps=12)
    await page.mouse.up()


async def expect_before(first: Locator, second: Locator) -> None:
    """Wait until one panel stands above another, or left of it in the same row."""

    async def is_before() -> bool:
        boxes = [await panel.bounding_box() for panel in (first, second)]
        places = [(box["y"], box["x"]) for box in boxes if box is not None]
        return len(places) == 2 and places[0] < places[1]

    await eventually(is_before, f"{first} before {second}", 10)


async def width_of(panel: Locator) -> float:
    box = await panel.bounding_box()
    assert box is not None
    return box["width"]
