"""The page of Ophion itself: pipelines with live rates, queues and components."""

from playwright.async_api import expect

from tests.plugins.dashboard.conftest import OpenPage


async def test_draws_the_pipelines_with_what_passes(open_page: OpenPage) -> None:
    page = await open_page("/agent", role="admin")

    metrics = page.get_by_role("region", name="Pipeline metrics")

    await expect(metrics.get_by_text("hostmetrics")).to_be_visible()
    await expect(metrics.get_by_text("clickhouse")).to_be_visible()
    await expect(metrics.get_by_role("img", name="ok").first).to_be_visible()


async def test_lists_queues_and_components(open_page: OpenPage) -> None:
    page = await open_page("/agent", role="admin")

    await expect(
        page.get_by_role("table", name="Queues").get_by_role("meter", name="Queue of clickhouse")
    ).to_be_visible()
    await expect(
        page.get_by_role("table", name="Components").get_by_role("cell", name="telemetry_store")
    ).to_be_visible()
