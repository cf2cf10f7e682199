"""The pages of traces: find one, read it, and see what else happened there and then."""

import json
import re

import pytest
from playwright.async_api import Locator, Page, expect

from benchmarks.dashboard_payloads import LARGE_SPANS, LARGE_TRACE
from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_axe import COLOURS, serious_findings
from tests.plugins.dashboard.rig_browser import Watch, take_screenshot
from tests.plugins.dashboard.rig_hostile import HOSTILE_TENANT, HOSTILE_TRACE
from tests.plugins.dashboard.rig_plan import FAILED, SLOW, trace_id, trace_plan
from tests.plugins.dashboard.rig_server import LARGE_TENANT, Dashboard

USUAL = SLOW + 2
"""A checkout that nothing is wrong with."""
# Frames of scrolling are counted over this time; a display shows 60 in a second.
SCROLL_MILLISECONDS = 1500


def row(page: Page, name: str) -> Locator:
    """Return a row of the waterfall."""
    return page.get_by_role("treegrid").get_by_role("row", name=name)


async def test_finds_the_failed_checkouts_by_facets(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h")
    filters = page.get_by_role("group", name="Filters", exact=True)
    chips = page.get_by_role("list", name="Active filters")
    for name in ("checkout", "payment"):
        await filters.get_by_role("group", name="Service").get_by_role("checkbox", name=name).check()
    either = ["service checkout", "service payment", "Clear all"]
    await expect(chips.get_by_role("listitem")).to_have_text(either)
    await chips.get_by_role("button", name="Remove the filter service checkout").click()
    await filters.get_by_role("checkbox", name="error").check()

    await expect(chips.get_by_role("listitem")).to_have_text(["service payment", "status error", "Clear all"])
    await expect(page.get_by_role("link", name="POST /checkout").first).to_be_visible()
    await expect(page.get_by_role("link", name="GET /products")).to_have_count(0)
    await expect(page.get_by_role("figure", name=re.compile("Duration of .* traces"))).to_be_visible()
    await expect(page).to_have_url(re.compile("service=payment.*status=error|status=error.*service=payment"))

    await chips.get_by_role("button", name="Remove the filter status error").click()
    await expect(chips.get_by_role("listitem")).to_have_text(["service payment", "Clear all"])


async def test_completes_keys_and_values_of_attributes(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h")
    field = page.get_by_role("combobox", name="Filter by attribute")
    await expect(field).to_be_visible()
    await page.keyboard.press("/")
    await expect(field).to_be_focused()
    await page.keyboard.type("shop.reg")
    await expect(page.get_by_role("option", name="shop.region=")).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(field).to_have_value("shop.region=")
    await page.get_by_role("option", name="shop.region=us-east").click()

    await expect(page.get_by_role("button", name="Remove the filter shop.region=us-east")).to_be_visible()
    await expect(page.get_by_role("checkbox", name="frontend")).to_be_visible()
    await expect(page.get_by_role("link", name="GET /products")).to_have_count(0)


async def test_says_what_is_wrong_with_a_duration(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h")
    least = page.get_by_role("textbox", name="At least")
    await least.fill("long")
    await least.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Write 250ms, 1.5s or 2m.")
    await least.fill("3 s")
    await least.press("Enter")
    await expect(page.get_by_role("row", name="POST /checkout")).to_have_count(1)
    await expect(page).to_have_url(re.compile("min_duration=3s"))


async def test_opens_a_trace_by_keyboard_and_pages_through_more(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h")
    rows = page.get_by_role("table", name="Traces").get_by_role("row")
    await expect(rows).to_have_count(51)
    await page.get_by_role("button", name="Load more traces").click()
    await expect(page.get_by_role("table", name="Traces")).to_have_attribute("aria-rowcount", "101")

    await rows.nth(1).focus()
    await page.keyboard.press("ArrowDown")
    await expect(rows.nth(2)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("treegrid", name="Spans of the trace")).to_be_visible()


async def test_a_box_on_the_scatter_becomes_filters_and_a_point_opens_its_trace(
    open_page: OpenPage, dashboard: Dashboard
) -> None:
    page = await open_page("/traces?from=now-2h&min_duration=3s")
    await expect(page.get_by_role("figure", name=re.compile("Duration of 1 traces"))).to_be_visible()
    canvas = page.get_by_test_id("scatter")
    box = await canvas.bounding_box()
    assert box
    left, top = box["x"], box["y"]
    await page.mouse.move(left + 80, top + 15)
    await page.mouse.down()
    await page.mouse.move(left + box["width"] - 15, top + box["height"] - 30, steps=4)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile("max_duration=[0-9.]+m?s"))
    await expect(page).to_have_url(re.compile(r"from=\d{13}"))
    await expect(page.get_by_role("figure", name=re.compile("Duration of 1 traces"))).to_be_visible()

    await page.goto(
        f"/traces?from={dashboard.at(SLOW) // 10**6 - 60_000}&to={dashboard.at(SLOW) // 10**6 + 60_000}&min_duration=3s"
    )
    await expect(page.get_by_role("figure", name=re.compile("Duration of 1 traces"))).to_be_visible()
    box = await canvas.bounding_box()
    assert box
    # The only point stands in the middle of the range; how high depends on the scale.
    for y in range(10, 170, 6):
        if page.url.endswith(dashboard.slow_trace) or dashboard.slow_trace in page.url:
            break
        await page.mouse.click(box["x"] + 58 + (box["width"] - 68) / 2, box["y"] + y)
    await expect(page.get_by_role("heading", name="POST /checkout")).to_be_visible()


async def test_exports_what_is_shown(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h&service=payment&status=error")
    await page.get_by_role("button", name="Export").click()
    async with page.expect_download() as started:
        await page.get_by_role("menuitem", name="Export as CSV").click()
    content = (await (await started.value).path()).read_text(encoding="utf-8")
    head, *lines = content.splitlines()
    assert head.startswith("trace_id,service,operation")
    assert any(line.startswith(trace_id(FAILED)) for line in lines)


async def test_says_how_to_send_traces_where_there_are_none(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=2001-01-01T00:00:00Z&to=2001-01-01T01:00:00Z")
    await expect(page.get_by_text("OTEL_EXPORTER_OTLP_ENDPOINT")).to_be_visible()
    page = await open_page("/traces?service=nobody")
    await page.get_by_role("button", name="Clear the filters").click()
    await expect(page.get_by_role("link", name="GET /products").first).to_be_visible()


async def test_walks_the_waterfall_by_keyboard(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/{dashboard.slow_trace}")
    grid = page.get_by_role("treegrid", name="Spans of the trace")
    await expect(grid.get_by_role("row")).to_have_count(1 + sum(1 for _ in trace_plan(SLOW).walk()))
    root = row(page, "frontend POST /checkout")
    await expect(root).to_have_attribute("aria-level", "1")
    await expect(root).to_have_attribute("aria-expanded", "true")

    await grid.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(root).to_have_attribute("aria-expanded", "false")
    await expect(grid.get_by_role("row")).to_have_count(2)
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("End")
    last = await grid.get_attribute("aria-activedescendant")
    assert last
    await expect(page.locator(f"#{last}")).to_contain_text("orders publish")
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("complementary", name="Span POST")).to_be_visible()
    await expect(page).to_have_url(re.compile("span=[0-9a-f]{16}"))

    await grid.focus()
    await page.keyboard.press("w")
    await page.keyboard.press("d")
    await expect(page).to_have_url(re.compile(r"view=[\d.]+,[\d.]+"))
    await page.keyboard.press("0")
    await expect(page).not_to_have_url(re.compile("view="))
    # A letter after `g` goes to another page, also from here.
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await expect(page).to_have_url(re.compile("/services"))


async def test_searches_within_the_trace(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/{dashboard.slow_trace}?find=db.system.name=postgresql")
    await expect(page.get_by_role("status").filter(has_text="2 matches")).to_be_visible()
    await page.get_by_role("button", name="Next match (n)").click()
    await expect(page.get_by_role("complementary", name="Span UPDATE stock")).to_be_visible()
    await page.get_by_role("button", name="Next match (n)").click()
    await expect(page.get_by_role("complementary", name="Span INSERT charges")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="2 of 2 matches")).to_be_visible()


async def test_from_the_slow_span_to_its_logs_and_its_host(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/{dashboard.slow_trace}")
    await row(page, "INSERT charges").click()
    panel = page.get_by_role("complementary", name="Span INSERT charges")
    await expect(panel.get_by_text("INSERT INTO charges (order_id, amount, currency)")).to_be_visible()
    # Its host had no time left: the processor was busy in that minute.
    await expect(panel.get_by_role("figure", name=re.compile(r"CPU\s*9\d(\.\d)? %"))).to_be_visible()
    host = panel.get_by_role("link", name="web-2", exact=True)
    await expect(host).to_have_attribute("href", re.compile(r"/hosts/web-2\?.*from=\d{13}"))
    logs = panel.get_by_role("link", name="Logs of this span")
    await expect(logs).to_have_attribute("href", re.compile(rf"trace={dashboard.slow_trace}.*span=[0-9a-f]{{16}}"))
    similar = panel.get_by_role("link", name="Find traces with db.collection.name charges")
    await expect(similar).to_have_attribute("href", re.compile(r"attr=db\.collection\.name%3Dcharges"))

    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await page.keyboard.press("Enter")
    await panel.get_by_role("button", name="Close the details").click()
    await expect(panel).to_have_count(0)
    await expect(page.get_by_role("treegrid")).to_be_focused()


async def test_shows_the_exception_of_a_failed_span(open_page: OpenPage) -> None:
    page = await open_page(f"/traces/{trace_id(FAILED)}?find=CardDeclined")
    await page.get_by_role("button", name="Next match (n)").click()
    panel = page.get_by_role("complementary", name="Span POST /charges")
    await expect(panel.get_by_text(f"card declined for order {FAILED}").first).to_be_visible()
    await expect(panel.get_by_label("Stack trace", exact=True)).to_contain_text("CardDeclined")
    await expect(row(page, "payment POST /charges").get_by_role("img", name="failed")).to_be_visible()


async def test_tabs_and_the_selected_span_stay_in_the_url(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/{dashboard.slow_trace}")
    await page.get_by_role("tab", name="Critical path").click()
    steps = page.get_by_role("table", name="Critical path")
    await steps.get_by_role("row", name="INSERT charges").click()
    await expect(page.get_by_role("complementary", name="Span INSERT charges")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("tab", name="Critical path")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("complementary", name="Span INSERT charges")).to_be_visible()

    await page.get_by_role("tab", name="Spans", exact=True).click()
    operations = page.get_by_role("table", name="Operations")
    # The most own time stands first.
    await expect(operations.get_by_role("row").nth(1)).to_contain_text("INSERT charges")
    await page.get_by_role("tab", name="Logs").click()
    records = page.get_by_role("table", name="Logs of the trace")
    await expect(records.get_by_text(re.compile("slow statement: INSERT charges took"))).to_be_visible()
    await page.get_by_role("tab", name="JSON").click()
    await expect(page.get_by_role("region", name="Trace as JSON")).to_contain_text("resourceSpans")


async def test_flame_graph_zooms_by_click_and_by_its_list(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/{dashboard.slow_trace}?tab=flame")
    whole = page.get_by_role("table", name="Parts of the trace")
    await whole.get_by_role("row", name="POST /checkout").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("table", name="Parts of POST /checkout")).to_be_visible()
    path = page.get_by_role("navigation", name="Path in the flame graph")
    await path.get_by_role("button", name="Whole trace").click()

    # The third row from the top is `POST /orders` of checkout, nearly as wide as everything.
    await page.get_by_test_id("flame").click(position={"x": 200, "y": 22 * 2 + 10})
    await expect(page.get_by_role("table", name="Parts of POST /orders")).to_be_visible()
    await path.get_by_role("button", name="Details of this span").click()
    await expect(page.get_by_role("complementary", name="Span POST /orders")).to_be_visible()


async def test_compares_two_traces(open_page: OpenPage, dashboard: Dashboard) -> None:
    page = await open_page(f"/traces/compare?a={trace_id(USUAL)}&b={dashboard.slow_trace}&from=now-2h")
    summary = page.get_by_role("status").filter(has_text="B takes")
    await expect(summary).to_contain_text(
        re.compile(r"B takes .* longer than A .* Most of it is INSERT charges of payment: \+4")
    )
    table = page.get_by_role("table", name="Operations by difference")
    await expect(table.get_by_role("row").nth(1)).to_contain_text("INSERT charges")
    await expect(table.get_by_role("row").nth(1)).to_contain_text("slower")
    await page.get_by_role("button", name="Swap A and B").click()
    await expect(table.get_by_role("row").nth(1)).to_contain_text("faster")

    await page.get_by_role("button", name="Change trace B").click()
    offered = page.get_by_role("table", name="Other traces of POST /checkout")
    await offered.get_by_role("row").nth(1).click()
    await expect(summary).to_be_visible()


async def test_chooses_two_traces_of_the_list_to_compare(open_page: OpenPage) -> None:
    page = await open_page("/traces?from=now-2h&operation=GET%20%2Fcart")
    boxes = page.get_by_role("table", name="Traces").get_by_role("checkbox")
    await boxes.nth(0).check()
    await expect(page.get_by_text("Choose one more trace to compare")).to_be_visible()
    await boxes.nth(1).check()
    await page.get_by_role("link", name="Compare 2 traces").click()
    await expect(page.get_by_role("heading", name="Compare traces")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="B takes")).to_be_visible()


async def test_says_that_a_trace_is_not_there(open_page: OpenPage, watch: Watch) -> None:
    watch.allow(r"refused: 404 GET /api/traces/", r"refused: 422 GET /api/traces/")
    page = await open_page(f"/traces/{'0' * 31}1")
    await expect(page.get_by_text("This trace is not here")).to_be_visible()
    page = await open_page("/traces/nonsense")
    await expect(page.get_by_role("alert")).to_contain_text("must be 32 hexadecimal digits")


async def test_large_trace_opens_and_scrolls_without_jerks(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_large()
    page = await open_page(f"/traces/{LARGE_TRACE}", tenant=LARGE_TENANT)
    grid = page.get_by_role("treegrid", name="Spans of the trace")
    await expect(grid).to_have_attribute("aria-rowcount", str(LARGE_SPANS + 1))
    # Only what is seen is in the page.
    assert await grid.get_by_role("row").count() < 80
    await grid.focus()
    await page.keyboard.press("End")
    active = await grid.get_attribute("aria-activedescendant")
    await expect(page.locator(f"#{active}")).to_be_in_viewport()
    await expect(page.locator(f"#{active}")).to_have_attribute("aria-rowindex", str(LARGE_SPANS + 1))

    figures = await page.evaluate(_SCROLL, SCROLL_MILLISECONDS)
    # The tests' machine is busy with other things: that it draws at all while it scrolls is what is held here.
    assert figures["rows"] > LARGE_SPANS / 10, figures
    assert figures["frames"] > 5, figures

    await page.get_by_role("tab", name="Flame graph").click()
    await expect(page.get_by_role("table", name="Parts of the trace")).to_be_visible()


_SCROLL = """(milliseconds) => new Promise((done) => {
  const grid = document.querySelector('[role=treegrid]')
  const began = performance.now()
  let frames = 0
  const seen = new Set()
  grid.scrollTop = 0
  const step = (now) => {
    frames += 1
    grid.scrollTop += 400
    for (const row of grid.querySelectorAll('[data-span]')) seen.add(row.getAttribute('aria-rowindex'))
    if (now - began < milliseconds || seen.size < 1200) requestAnimationFrame(step)
    else done({frames, rows: seen.size, perSecond: frames / (now - began) * 1000})
  }
  requestAnimationFrame(step)
})"""


async def test_hostile_texts_stay_texts(open_page: OpenPage, dashboard: Dashboard) -> None:
    await dashboard.add_hostile()
    page = await open_page(f"/traces/{HOSTILE_TRACE}", tenant=HOSTILE_TENANT)
    grid = page.get_by_role("treegrid", name="Spans of the trace")
    await expect(grid.get_by_role("row").nth(1)).to_be_visible()
    await grid.get_by_role("row").nth(3).click()
    await expect(page.get_by_role("complementary")).to_be_visible()
    for tab in ("Flame graph", "Spans", "Critical path", "Logs", "JSON"):
        await page.get_by_role("tab", name=tab, exact=True).click()
    assert await page.evaluate("window.pwned") is None


@pytest.mark.parametrize(
    ("path", "name"), [("", "list"), ("/{slow}?span={span}", "trace"), ("/compare?a={usual}&b={slow}", "compare")]
)
async def test_is_accessible_and_fits_a_phone(open_page: OpenPage, dashboard: Dashboard, path: str, name: str) -> None:
    answer = await dashboard.server.get(f"/api/traces/{dashboard.slow_trace}")
    span = next(one["span_id"] for one in json.loads(answer.text)["spans"] if one["name"] == "INSERT charges")
    url = "/traces" + path.format(slow=dashboard.slow_trace, usual=trace_id(USUAL), span=span)
    for dark in (False, True):
        page = await open_page(url, dark=dark)
        await expect(page.get_by_role("table").or_(page.get_by_role("treegrid")).first).to_be_visible()
        assert await serious_findings(page, within="main", only=COLOURS if dark else ()) == []
        await take_screenshot(page, f"traces-{name}-{'dark' if dark else 'light'}")
    phone = await open_page(url, size="phone")
    await expect(phone.get_by_role("table").or_(phone.get_by_role("treegrid")).first).to_be_visible()
    overhang = await phone.evaluate(
        "document.querySelector('main').scrollWidth - document.querySelector('main').clientWidth"
    )
    assert overhang <= 0
    await take_screenshot(phone, f"traces-{name}-phone")
