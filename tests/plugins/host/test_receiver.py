import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.log import fields_of
from ophion_agent.plugin import Metrics, RetryableError
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import ManualClock, Sink, check_component, make_component, settle
from ophion_host.receiver import HostMetricsReceiver
from ophion_host.recorder import Recorder
from ophion_host.scrapers.load import LoadScraper


class Agent:
    """A receiver on a still clock, with what it emits and counts."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.clock, self.sink, self.metrics = ManualClock(), Sink(), SelfMetrics()
        self.receiver = make_component(
            HostMetricsReceiver, config, sink=self.sink, clock=self.clock, metrics=self.metrics
        )

    async def after(self, seconds: float, batches: int) -> list[Metrics]:
        """Advance the clock, and the batches once there are so many."""
        await self.clock.advance(seconds)
        await eventually(lambda: len(self.sink.batches) >= batches)
        await self.clock.advance(0)
        return self.sink.batches


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await settle()


@asynccontextmanager
async def running(config: dict[str, Any]) -> AsyncIterator[Agent]:
    agent = Agent(config)
    await agent.receiver.start()
    try:
        yield agent
    finally:
        await agent.receiver.stop()
        await agent.receiver.context.close()


async def test_keeps_the_component_contract() -> None:
    await check_component(HostMetricsReceiver, {"collection_interval": "10s", "scrapers": {"cpu": None}})
    await check_component(HostMetricsReceiver)


async def test_first_scrape_after_the_initial_delay_then_one_an_interval(root: Path) -> None:
    config = {"root_path": str(root), "collection_interval": "10s", "scrapers": {"load": None}}
    async with running(config) as agent:
        await agent.clock.advance(0.9)
        assert agent.sink.batches == []
        assert len(await agent.after(0.1, 1)) == 1
        assert len(await agent.after(9.9, 1)) == 1
        assert len(await agent.after(0.1, 2)) == 2


async def test_one_batch_holds_the_host_and_every_process(root: Path) -> None:
    config = {
        "root_path": str(root),
        "scrapers": {"cpu": None, "memory": None, "process": {"mute_process_all_errors": True}},
    }
    async with running(config) as agent:
        (batch,) = await agent.after(1, 1)
    groups = batch.view().groups()
    assert [len(group.resource.attributes) > 0 for group in groups] == [False, True, True, True, True]
    assert [scope.scope.name for scope in groups[0].scope_metrics] == [
        "ophion_host.scrapers.cpu",
        "ophion_host.scrapers.memory",
    ]
    assert groups[0].schema_url == "https://opentelemetry.io/schemas/1.9.0"
    assert len(batch) == sum(1 for _ in batch.view().points())
    assert Metrics.from_wire(batch.payload).payload == batch.payload


async def test_counts_points_that_were_scraped_and_metrics_that_were_not(root: Path) -> None:
    (root / "proc/meminfo").unlink()
    config = {"root_path": str(root), "scrapers": {"load": None, "memory": None}}
    async with running(config) as agent:
        (batch,) = await agent.after(1, 1)
    assert len(batch) == 3
    receiver = {"receiver": "hostmetrics"}
    scraped, errored = "otelcol_scraper_scraped_metric_points", "otelcol_scraper_errored_metric_points"
    assert agent.metrics.total(scraped, scraper="load", **receiver) == 3
    assert agent.metrics.total(errored, scraper="load", **receiver) == 0
    assert agent.metrics.total(scraped, scraper="memory", **receiver) == 0
    assert agent.metrics.total(errored, scraper="memory", **receiver) == 1


async def test_error_is_logged_when_it_begins_and_when_it_ends(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ophion")
    meminfo = root / "proc/meminfo"
    content = meminfo.read_text()
    meminfo.unlink()
    config = {"root_path": str(root), "collection_interval": "10s", "scrapers": {"load": None, "memory": None}}
    async with running(config) as agent:
        await agent.after(1, 1)
        await agent.after(10, 2)
        meminfo.write_text(content)
        await agent.after(10, 3)
    events = [(record.getMessage(), fields_of(record)["scraper"], record.levelname) for record in caplog.records]
    assert events == [("scrape_failed", "memory", "ERROR"), ("scrape_recovered", "memory", "INFO")]
    assert fields_of(caplog.records[0])["error"] == f"memory: {meminfo}: No such file or directory"


async def test_degraded_while_nothing_can_be_read(root: Path) -> None:
    meminfo = root / "proc/meminfo"
    content = meminfo.read_text()
    meminfo.unlink()
    config = {"root_path": str(root), "collection_interval": "10s", "scrapers": {"memory": None}}
    async with running(config) as agent:
        health = agent.receiver.context.health
        await agent.clock.advance(1)
        await eventually(lambda: health.status == "degraded")
        meminfo.write_text(content)
        await agent.after(10, 1)
        assert health.status == "ok"


async def test_scrape_longer_than_the_interval_skips_the_missed_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, running_now = threading.Event(), []

    def slow(self: LoadScraper, out: Recorder) -> None:
        running_now.append(threading.get_ident())
        assert release.wait(10)

    config = {"root_path": str(root), "collection_interval": "10s", "scrapers": {"load": None}}
    monkeypatch.setattr(LoadScraper, "scrape", slow)
    async with running(config) as agent:
        await agent.clock.advance(1)
        await eventually(lambda: len(running_now) == 1)
        await agent.clock.advance(25)
        assert len(running_now) == 1
        release.set()
        await eventually(lambda: agent.metrics.total("ophion_receiver_skipped_scrapes") == 2)
        await agent.clock.advance(4)
        assert len(running_now) == 1
        await agent.clock.advance(1)
        await eventually(lambda: len(running_now) == 2)


async def test_batch_that_is_not_taken_does_not_end_the_scraping(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"root_path": str(root), "collection_interval": "10s", "scrapers": {"load": None}}
    async with running(config) as agent:
        agent.sink.error = RetryableError("queue is full")
        await agent.clock.advance(1)
        await eventually(lambda: agent.metrics.total("otelcol_receiver_refused_metric_points") == 3)
        agent.sink.error = None
        assert len(await agent.after(10, 1)) == 1
    assert fields_of(caplog.records[0])["error"] == "3 points were not taken: queue is full"


async def test_metrics_that_the_system_does_not_have_are_named_once_a_scraper(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = {"process.handles": {"enabled": True}}
    config = {"root_path": str(root), "scrapers": {"process": {"metrics": metrics}, "load": None}}
    async with running(config):
        (record,) = caplog.records
    assert record.getMessage() == "metrics_not_available"
    facts = fields_of(record)
    assert (facts["scraper"], facts["platform"], facts["metrics"]) == ("process", "linux", "process.handles")


async def test_root_without_proc_is_refused_at_start(tmp_path: Path) -> None:
    agent = Agent({"root_path": str(tmp_path)})
    with pytest.raises(OSError, match="root_path: cannot read") as caught:
        await agent.receiver.start()
    assert str(caught.value) == (
        f"root_path: cannot read {tmp_path}/proc/stat: No such file or directory; "
        "mount the host's /proc there, or correct root_path"
    )
    await agent.receiver.stop()
    await agent.receiver.context.close()


async def test_fault_of_one_scraper_does_not_cost_the_others_their_points(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(self: LoadScraper, out: Recorder) -> None:
        raise ZeroDivisionError("fault")

    monkeypatch.setattr(LoadScraper, "scrape", faulty)
    async with running({"root_path": str(root), "scrapers": {"load": None, "memory": None}}) as agent:
        (batch,) = await agent.after(1, 1)
    assert [metric.name for metric in batch.view().records()] == ["system.memory.usage"]
    assert fields_of(caplog.records[0])["error"] == "load: ZeroDivisionError('fault')"


async def test_two_roots_do_not_disturb_one_another(root: Path) -> None:
    async with (
        running({"root_path": str(root), "scrapers": {"system": None}}) as fixture,
        running({"scrapers": {"system": None}}) as real,
    ):
        (made_up,) = await fixture.after(1, 1)
        (actual,) = await real.after(1, 1)
    assert [point.as_double for point in made_up.view().points()] == [86400.25]
    assert [point.as_double for point in actual.view().points()] != [86400.25]
