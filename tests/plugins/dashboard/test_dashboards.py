"""The pages of dashboards: the grid by mouse and by keys, panels, variables, saving, sharing, YAML, roles."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Request, expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_browser import Watch, take_completion
from tests.plugins.dashboard.rig_plan import HOSTS, REGIONS
from tests.plugins.dashboard.rig_server import FILES_TENANT, Dashboard

CPU = 'sum by (host_name) (rate(system_cpu_time_seconds_total{host_name=~"web-.*", state!="idle"}[5m]))'
HOST_VARIABLE = {
    "name": "host",
    "kind": "query",
    "query": 'label_values(system_cpu_time_seconds_total{host_name=~"web-.*"}, host_name)',
    "multi": True,
    "include_all": True,
}

VALUES = {"Low": 9, "High": 10}


def times(dashboard: Dashboard) -> str:
    """Return the search of a URL that shows the time of the data."""
    now = dashboard.now_ns // 10**6
    return f"from={now - 90 * 60_000}&to={now}"


def panel(number: int, title: str, kind: str = "timeseries", expression: str = CPU, **more: Any) -> dict[str, Any]:
    """Return a panel, two in a row."""
    asks = {"logs": "logs", "traces": "traces"}.get(kind, "promql")
    place = {"x": (number - 1) % 2 * 12, "y": (number - 1) // 2 * 8, "w": 12, "h": 8}
    queries = [] if kind == "text" else [{"kind": asks, "expression": expression, "legend": more.pop("legend", "")}]
    return {"id": number, "title": title, "kind": kind, "position": place, "queries": queries, **more}


async def save(dashboard: Dashboard, title: str, panels: list[dict[str, Any]], **more: Any) -> str:
    """Save a dashboard through the API and return its uid."""
    body = {"dashboard": {"title": title, "panels": panels, **more}}
    return str((await dashboard.server.ask("POST", "/api/dashboards", body, expect=201))["uid"])


async def saved(dashboard: Dashboard, uid: str) -> dict[str, Any]:
    answer: dict[str, Any] = await dashboard.server.ask("GET", f"/api/dashboards/{uid}")
    return answer


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def save_on_page(page: Page, title: str = "") -> None:
    await page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog")
    if title:
        await dialog.get_by_role("textbox", name="Title").fill(title)
    await dialog.get_by_role("button", name="Save", exact=True).click()


async def test_one_of_a_file_is_shown_and_copied_but_not_changed(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_tenant(FILES_TENANT)
    page = await open_page("/dashboards", role="operator", tenant=FILES_TENANT)
    row = page.get_by_role("row", name="Kept in git")
    await expect(row).to_contain_text("file")
    await row.click()
    await expect(page.get_by_text("from the file git.yaml: change it there")).to_be_visible()
    await expect(page.get_by_text("written in a file")).to_be_visible()
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_have_count(0)
    assert await serious_findings(page, within="main") == []

    await page.get_by_role("button", name="More", exact=True).click()
    await page.get_by_role("menuitem", name="Make a copy").click()
    await expect(page.get_by_role("heading", name="Copy of Kept in git", level=1)).to_be_visible()
    await expect(page.get_by_text("not saved yet")).to_be_visible()
    await expect(page.get_by_text("written in a file")).to_be_visible()
    await save_on_page(page, "Our own")

    await expect(page.get_by_role("heading", name="Our own", level=1)).to_be_visible()
    await expect(page.get_by_text("written in a file")).to_be_visible()
    await expect(page).not_to_have_url(re.compile("copy="))
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()


async def test_an_older_version_is_copied_as_it_was(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "Before", [panel(1, "First")])
    changed = {"version": 1, "dashboard": {"title": "After", "panels": [panel(1, "Second")]}}
    await dashboard.server.ask("PUT", f"/api/dashboards/{uid}", changed)
    page = await open_page(f"/dashboards/{uid}?version=1", role="operator")

    await page.get_by_role("button", name="More", exact=True).click()
    await page.get_by_role("menuitem", name="Make a copy").click()

    await expect(page.get_by_role("heading", name="Copy of Before", level=1)).to_be_visible()
    await expect(region(page, "First")).to_be_visible()


async def test_starts_from_a_template_and_is_saved(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/dashboards?{times(dashboard)}", role="operator")
    await page.get_by_role("link", name="Template Service").click()
    await expect(page.get_by_text("not saved yet")).to_be_visible()
    await save_on_page(page, "My service")

    await expect(page.get_by_role("heading", name="My service", level=1)).to_be_visible()
    await page.wait_for_url(re.compile(r"/dashboards/(?!new)"))
    await page.get_by_label("Service", exact=True).select_option("payment")
    assert "var-service=payment" in page.url
    await expect(region(page, "Requests")).to_contain_text("req/s")
    await expect(region(page, "Spread of durations").get_by_role("img")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Service", exact=True)).to_have_value("payment")
    await page.goto("/dashboards")
    await page.get_by_role("searchbox", name="Search dashboards").fill("my serv")
    await page.get_by_role("button", name="Star My service").click()
    await expect(page.get_by_role("button", name="Star My service")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Starred").click()
    await expect(page.get_by_role("link", name="My service")).to_be_visible()


async def test_panels_are_moved_by_mouse_and_by_keys(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "Moved", [panel(1, "First"), panel(2, "Second"), panel(3, "Third")])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}", role="operator")
    await page.get_by_role("button", name="Edit", exact=True).click()
    handle = page.get_by_role("button", name="Move or resize First")
    await handle.focus()
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Shift+ArrowDown")
    await expect(page.get_by_role("status").filter(has_text="11 wide, 9 high")).to_have_count(1)
    await expect(handle).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("status").filter(has_text="First: column 1, row 9")).to_have_count(1)

    # By mouse: the second panel goes to the left edge.
    before, start = (
        await region(page, "Second").bounding_box(),
        await region(page, "Second").locator("h2").bounding_box(),
    )
    assert before is not None
    assert start is not None
    await page.mouse.move(start["x"] + 20, start["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(start["x"] - 300, start["y"] + 10, steps=8)
    await page.mouse.move(start["x"] - before["width"] - 60, start["y"] + 10, steps=8)
    await page.mouse.up()
    await expect(page.get_by_text("changed", exact=True)).to_be_visible()
    await save_on_page(page)
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()

    places = {one["title"]: one["position"] for one in (await saved(dashboard, uid))["dashboard"]["panels"]}
    assert (places["First"]["w"], places["First"]["h"]) == (11, 9)
    assert places["Second"]["x"] == 0
    await page.reload()
    box = await region(page, "Second").bounding_box()
    assert box is not None
    assert box["x"] < before["x"]


async def test_panel_is_made_with_the_editor(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "Edited", [panel(1, "First")])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&edit=true", role="operator")
    await page.get_by_role("button", name="Add panel").click()
    await page.get_by_role("menuitem", name="Single value").click()
    editor = page.get_by_role("textbox", name="PromQL of query A")
    await editor.click()
    await page.keyboard.type("sum(shop_carts_op", delay=20)
    await take_completion(page, "shop_carts_open")
    await page.keyboard.press("Control+Enter")
    await page.get_by_label("Title", exact=True).fill("Open carts")
    await page.get_by_label("Decimals").fill("3")
    await expect(region(page, "Open carts")).to_contain_text(re.compile(r"\d\.\d{3}"))
    await page.get_by_role("button", name="Done").click()
    await save_on_page(page)
    await expect(page.get_by_role("button", name="Edit", exact=True)).to_be_visible()

    made = (await saved(dashboard, uid))["dashboard"]["panels"][1]
    assert made["title"] == "Open carts"
    assert made["queries"][0]["expression"] == "sum(shop_carts_open)"
    assert made["options"]["decimals"] == 3


async def test_every_kind_of_panel_shows_its_data(open_page: OpenPage, dashboard: Dashboard) -> None:
    buckets = 'sum by (le) (rate(http_server_request_duration_seconds_bucket{service_name="payment"}[5m]))'
    panels = [
        panel(1, "Lines", legend="CPU of {{host_name}}"),
        panel(2, "Gauges", "gauge", "sum by (shop_region) (rate(shop_orders_placed_total[5m]))"),
        panel(3, "Sorted", "bar"),
        panel(4, "Rows", "table"),
        panel(5, "Heat", "heatmap", buckets),
        panel(6, "Lines of logs", "logs", "service:payment"),
        panel(7, "Found", "traces", "service:payment min_duration=1s"),
        panel(8, "Words", "text", text="**Read** [this](https://example.com/)"),
        panel(9, "Broken", "stat", "sum(rate(nothing_like_this))"),
        panel(10, "None", "stat", "nothing_like_this"),
    ]
    uid = await save(dashboard, "All kinds", panels)
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}", viewport={"width": 1440, "height": 2400})

    await expect(region(page, "Lines").get_by_role("button", name=f"CPU of {HOSTS[0]}")).to_be_visible()
    await expect(region(page, "Gauges").get_by_role("img", name=re.compile(f"{REGIONS[0]}: "))).to_be_visible()
    await expect(region(page, "Sorted").get_by_role("listitem")).to_have_count(len(HOSTS))
    await expect(region(page, "Rows").get_by_role("cell", name=HOSTS[1])).to_be_visible()
    await expect(region(page, "Heat").get_by_role("img", name=re.compile("15 rows"))).to_be_visible()
    await expect(region(page, "Lines of logs").get_by_role("link", name="trace").first).to_be_visible()
    await expect(region(page, "Found").get_by_role("link").first).to_be_visible()
    await expect(region(page, "Words").get_by_role("link", name="this")).to_be_visible()
    await expect(region(page, "Broken").get_by_role("alert")).to_contain_text("parse error")
    await expect(region(page, "None")).to_contain_text("No data")
    assert await serious_findings(page, within="#content") == []


@pytest.fixture(autouse=True)
def _broken_panel_is_refused(watch: Watch) -> None:
    watch.allow("refused: 400 POST /api/metrics/query")


async def test_asks_only_for_panels_that_are_seen(open_page: OpenPage, dashboard: Dashboard) -> None:
    # No title holds a digit, so that a digit in a panel is its value.
    titles = [f"Panel {chr(ord('A') + number // 8)}{chr(ord('A') + number % 8)}" for number in range(40)]
    panels = [panel(n, title, "stat", f"count(shop_carts_open) + {n}") for n, title in enumerate(titles, 1)]
    uid = await save(dashboard, "Long", panels)
    page = await open_page("/services")
    asked: set[str] = set()

    def note(request: Request) -> None:
        if request.url.endswith("/api/metrics/query"):
            asked.add(request.post_data_json["query"])

    page.on("request", note)
    await page.goto(f"/dashboards/{uid}?{times(dashboard)}")
    await expect(region(page, titles[0])).to_contain_text(re.compile(r"\d"))
    assert "count(shop_carts_open) + 40" not in asked
    assert len(asked) < 20
    await region(page, titles[-1]).scroll_into_view_if_needed()
    await expect(region(page, titles[-1])).to_contain_text(re.compile(r"\d"))
    assert "count(shop_carts_open) + 40" in asked


async def test_variables_stand_in_the_url_and_repeat_panels(open_page: OpenPage, dashboard: Dashboard) -> None:
    expression = 'sum by (host_name) (rate(system_cpu_time_seconds_total{host_name=~"$host", state!="idle"}[5m]))'
    panels = [
        panel(1, "CPU of $host", expression=expression, legend="{{host_name}}"),
        panel(2, "Only $host", "stat", expression, repeat="host"),
    ]
    uid = await save(dashboard, "Variables", panels, variables=[HOST_VARIABLE])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&var-host={HOSTS[0]}&var-host={HOSTS[2]}")

    chart = region(page, f"CPU of {HOSTS[0]}, {HOSTS[2]}")
    await expect(chart.get_by_role("figure", name=re.compile("2 lines"))).to_be_visible()
    await expect(region(page, f"Only {HOSTS[0]}")).to_be_visible()
    await expect(region(page, f"Only {HOSTS[1]}")).to_have_count(0)
    await page.get_by_role("button", name=re.compile("^host:")).click()
    await page.get_by_role("checkbox", name="All").click()
    await page.keyboard.press("Escape")
    await expect(
        region(page, "CPU of all").get_by_role("figure", name=re.compile(f"{len(HOSTS)} lines"))
    ).to_be_visible()
    for host in HOSTS:
        await expect(region(page, f"Only {host}")).to_be_visible()


async def conflict_of(open_page: OpenPage, dashboard: Dashboard, watch: Watch, uid: str) -> tuple[Page, Locator]:
    """Save over what somebody else saved; return the page and what it says of that."""
    watch.allow(f"refused: 409 PUT /api/dashboards/{uid}")
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&edit=true", role="operator")
    await page.get_by_role("button", name="Move or resize First").press("Shift+ArrowDown")
    await expect(page.get_by_text("changed", exact=True)).to_be_visible()
    theirs = (await saved(dashboard, uid))["dashboard"] | {"title": "Theirs"}
    await dashboard.server.ask("PUT", f"/api/dashboards/{uid}", {"version": 1, "dashboard": theirs})

    await save_on_page(page, "Mine")
    conflict = page.get_by_role("dialog").get_by_role("alert")
    await expect(conflict).to_contain_text("Somebody else saved")
    return page, conflict


async def test_who_saves_too_late_may_save_another(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    uid = await save(dashboard, "Contested too", [panel(1, "First")])
    page, conflict = await conflict_of(open_page, dashboard, watch, uid)

    await conflict.get_by_role("button", name="Save mine as another").click()

    await expect(page.get_by_role("heading", name="Mine", level=1)).to_be_visible()
    await expect(page).not_to_have_url(re.compile(uid))
    assert (await saved(dashboard, uid))["dashboard"]["title"] == "Theirs"


async def test_two_who_save_at_once_are_told(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    uid = await save(dashboard, "Contested", [panel(1, "First")])
    page, conflict = await conflict_of(open_page, dashboard, watch, uid)

    await conflict.get_by_role("button", name="Overwrite with mine").click()
    await expect(page.get_by_role("heading", name="Mine", level=1)).to_be_visible()
    assert (await saved(dashboard, uid))["version"] == 3

    await page.get_by_role("button", name="More").click()
    await page.get_by_role("menuitem", name="Versions").click()
    await page.get_by_role("button", name="Restore version 2").click()
    await expect(page.get_by_role("heading", name="Theirs", level=1)).to_be_visible()


async def test_leaving_with_changes_is_asked_about(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "Left", [panel(1, "First")])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&edit=true", role="operator")
    await page.get_by_role("button", name="Move or resize First").press("Shift+ArrowDown")
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="Metrics").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("changed", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Discard").click()
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="Metrics").click()
    await expect(page.get_by_role("heading", name="Metrics", level=1)).to_be_visible()


async def test_is_shared_as_a_moment_and_as_a_snapshot(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(
        dashboard,
        "Shared",
        [panel(1, "CPU", legend="{{host_name}}"), panel(2, "Carts", "stat", "sum(shop_carts_open)")],
    )
    page = await open_page(f"/dashboards/{uid}?from=now-1h&to=now&refresh=0", role="operator")
    await expect(region(page, "Carts")).to_contain_text(re.compile(r"\d"))
    await page.get_by_role("button", name="Share").click()
    moment = await page.get_by_role("textbox", name="Link to this moment").input_value()
    assert re.search(r"from=\d{13}&to=\d{13}", moment)
    await page.get_by_role("button", name="Make a snapshot").click()
    link = await page.get_by_role("textbox", name="Link to the snapshot").input_value()

    other = await open_page("/services")
    queries: list[str] = []
    other.on(
        "request", lambda request: queries.append(request.url) if request.url.endswith("/api/metrics/query") else None
    )
    await other.goto(link)
    await expect(other.get_by_text(re.compile("^frozen: data of"))).to_be_visible()
    await expect(region(other, "CPU").get_by_role("figure", name=re.compile(f"{len(HOSTS)} lines"))).to_be_visible()
    await expect(region(other, "Carts")).to_contain_text(re.compile(r"\d"))
    assert queries == []


async def test_yaml_goes_out_and_comes_back(
    open_page: OpenPage, dashboard: Dashboard, watch: Watch, tmp_path: Path
) -> None:
    watch.allow("refused: (422|409) POST /api/dashboards/import")
    uid = await save(dashboard, "Exported", [panel(1, "First")], tags=["yaml"])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}", role="operator")
    await page.get_by_role("button", name="More").click()
    async with page.expect_download() as download:
        await page.get_by_role("menuitem", name="Export YAML").click()
    file = tmp_path / "exported.yaml"
    await (await download.value).save_as(file)
    text = file.read_text(encoding="utf-8")
    assert "title: Exported" in text

    await page.goto("/dashboards")
    await page.get_by_role("button", name="Import YAML").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("or its text").fill(text.replace("kind: timeseries", "kind: pie"))
    await dialog.get_by_role("button", name="Import", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text(re.compile(r"line:\d+.*kind"))
    changed = tmp_path / "changed.yaml"
    changed.write_text(text.replace("title: Exported", "title: Come back"), encoding="utf-8")
    await dialog.get_by_label("YAML file").set_input_files(changed)
    await expect(dialog.get_by_label("or its text")).to_have_value(re.compile("Come back"))
    await dialog.get_by_role("button", name="Import", exact=True).click()
    await dialog.get_by_role("button", name="Overwrite it").click()
    await expect(page.get_by_role("heading", name="Come back", level=1)).to_be_visible()
    assert (await saved(dashboard, uid))["dashboard"]["title"] == "Come back"


async def test_viewer_looks_and_cannot_save(open_page: OpenPage, dashboard: Dashboard, watch: Watch) -> None:
    uid = await save(dashboard, "Looked at", [panel(1, "First")])
    watch.allow(f"refused: 403 PUT /api/dashboards/{uid}")
    page = await open_page("/dashboards")
    await expect(page.get_by_role("link", name="Looked at")).to_be_visible()
    await expect(page.get_by_role("button", name="New dashboard")).to_have_count(0)
    await page.goto(f"/dashboards/{uid}?{times(dashboard)}&edit=true")
    await expect(region(page, "First").get_by_role("figure")).to_be_visible()
    for name in ("Edit", "Save", "Add panel", "Move or resize First"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    status = await page.evaluate(
        """async ([uid, dashboard]) => {
          const cookie = document.cookie.split('; ').find((one) => /ophion_csrf=/.test(one))
          const token = cookie.slice(cookie.indexOf('=') + 1)
          const headers = {'content-type': 'application/json', 'x-csrf-token': token}
          const body = JSON.stringify({version: 1, dashboard})
          return (await fetch(`/api/dashboards/${uid}`, {method: 'PUT', headers, body})).status
        }""",
        [uid, (await saved(dashboard, uid))["dashboard"]],
    )
    assert status == 403


async def test_tv_mode_shows_nothing_but_panels(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "On a TV", [panel(1, "First")])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&tv=true", dark=True)
    await expect(region(page, "First").get_by_role("figure")).to_be_visible()
    await expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)
    await expect(page.get_by_role("banner")).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


async def test_tv_mode_goes_round_the_starred_dashboards(open_page: OpenPage, dashboard: Dashboard) -> None:
    first, second = [await save(dashboard, title, [panel(1, f"{title} panel")]) for title in ("Round one", "Round two")]
    page = await open_page("/dashboards")
    await page.get_by_role("searchbox", name="Search dashboards").fill("round")
    for title in ("Round one", "Round two"):
        star = page.get_by_role("button", name=f"Star {title}")
        await star.click()
        await expect(star).to_have_attribute("aria-pressed", "true")
    await page.clock.install()
    async with page.expect_response(lambda response: response.url.endswith("/api/dashboards")):
        await page.goto(f"/dashboards/{first}?tv=true&cycle=60")
    for uid, title in ((second, "Round two"), (first, "Round one")):
        await expect(page.get_by_role("region")).to_have_count(1)
        await page.clock.fast_forward(61_000)
        await page.wait_for_url(re.compile(rf"/dashboards/{uid}\?.*tv=true"))
        await expect(region(page, f"{title} panel")).to_be_visible()


async def test_a_value_has_the_colour_of_its_threshold_and_a_panel_leads_on(
    open_page: OpenPage, dashboard: Dashboard
) -> None:
    options = {
        "thresholds": [{"value": None, "color": "green"}, {"value": 10, "color": "red"}],
        "links": [{"title": "Host", "url": "/hosts/$host"}],
    }
    panels = [
        panel(n, name, "stat", f"vector({value})", options=options) for n, (name, value) in enumerate(VALUES.items(), 1)
    ]
    uid = await save(dashboard, "Coloured", panels, variables=[HOST_VARIABLE | {"multi": False, "include_all": False}])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}&var-host={HOSTS[1]}")
    colours = [
        await region(page, name).get_by_text(str(value), exact=True).evaluate("(one) => getComputedStyle(one).color")
        for name, value in VALUES.items()
    ]
    assert len(set(colours)) == 2
    await region(page, "Low").get_by_role("link", name="Host").click()
    await expect(page.get_by_role("heading", name=HOSTS[1], level=1)).to_be_visible()


async def test_phone_shows_panels_below_one_another(open_page: OpenPage, dashboard: Dashboard) -> None:
    uid = await save(dashboard, "On a phone", [panel(1, "First"), panel(2, "Second", "bar")], variables=[HOST_VARIABLE])
    page = await open_page(f"/dashboards/{uid}?{times(dashboard)}", size="phone")
    await expect(region(page, "Second").get_by_role("listitem")).to_have_count(len(HOSTS))
    first, second = await region(page, "First").bounding_box(), await region(page, "Second").bounding_box()
    assert first is not None
    assert second is not None
    assert first["x"] == second["x"]
    assert first["y"] + first["height"] <= second["y"]
    assert await page.evaluate("document.querySelector('.content').scrollWidth <= innerWidth")
    assert await serious_findings(page, within="#content") == []
