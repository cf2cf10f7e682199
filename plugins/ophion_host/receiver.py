"""The `hostmetrics` receiver: scrapes the host at an interval and emits one batch of metrics each time."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from ophion_agent import otlp_writing as wire
from ophion_agent.plugin import Context, Counter, Metrics, OphionError, Receiver
from ophion_host.catalog import SCRAPERS
from ophion_host.config import HostMetricsConfig
from ophion_host.host import Host
from ophion_host.recorder import SYSTEM_SCHEMA_URL, Recorder, Scrape
from ophion_host.scraper import Scraper


class _Active(NamedTuple):
    scraper: Scraper[Any]
    recorder: Recorder
    scraped: Counter
    errored: Counter


class HostMetricsReceiver(Receiver[HostMetricsConfig, Metrics]):
    """Scrapes CPU, memory, disks, filesystems, network, processes and more of this host."""

    type_name = "hostmetrics"
    aliases = ("host_metrics",)

    def __init__(self, config: HostMetricsConfig, context: Context) -> None:
        super().__init__(config, context)
        self._host = Host(config.root_path)
        self._active: list[_Active] = []
        self._boot_ns = 0
        self._troubles: dict[tuple[str, str], str] = {}
        self._skipped = context.counter("ophion_receiver_skipped_scrapes")

    async def start(self) -> None:
        """Begin to scrape. Raises OSError or ValueError when the root path holds no readable /proc."""
        try:
            self._boot_ns = await asyncio.to_thread(self._host.boot_time_ns)
        except OSError as error:
            remedy = "mount the host's /proc there, or correct root_path" if self._host.root else "mount /proc"
            raise OSError(f"root_path: cannot read {self._host.proc}/stat: {error.strerror}; {remedy}") from error
        self._active = [self._activate(cls) for cls in SCRAPERS if cls.name in self.config.scrapers.configured()]
        self.context.spawn("scrape", self._run)

    def _activate(self, cls: type[Scraper[Any]]) -> _Active:
        config = self.config.scrapers.configured()[cls.name]
        metrics = config.enabled_metrics()
        missing = [metric.name for metric in metrics if self._host.platform not in metric.platforms]
        if missing:
            self.log.warning(
                "metrics_not_available", scraper=cls.name, platform=self._host.platform, metrics=", ".join(missing)
            )
        counters = (
            self.context.counter(f"otelcol_scraper_{outcome}_metric_points", scraper=cls.name)
            for outcome in ("scraped", "errored")
        )
        recorder = Recorder(f"ophion_host.scrapers.{cls.name}", self._agent_version(), metrics)
        return _Active(cls(config, self._host), recorder, *counters)

    def _agent_version(self) -> str:
        try:
            return self.context.agent.version
        except RuntimeError:
            return ""

    async def _run(self) -> None:
        clock, interval = self.context.clock, self.config.collection_interval
        await clock.sleep(self.config.initial_delay)
        due = clock.monotonic()
        while True:
            await self._scrape_and_emit()
            late = int((clock.monotonic() - due) / interval)
            self._skipped.add(late)
            due += (late + 1) * interval
            await clock.sleep(due - clock.monotonic())

    async def _scrape_and_emit(self) -> None:
        now_ns = self.context.clock.now_ns()
        scrapes = await asyncio.to_thread(self._scrape_all, now_ns)
        self._account(scrapes)
        points = sum(scrape.points for scrape in scrapes)
        if not points:
            return
        try:
            await self.emit(Metrics.trusted(request_of(scrapes), points))
        except OphionError as error:
            self._trouble({("emit", type(error).__name__): f"{points} points were not taken: {error}"}, "emit")
        else:
            self._trouble({}, "emit")

    def _scrape_all(self, now_ns: int) -> list[Scrape]:
        return [scrape_one(active.scraper, active.recorder, now_ns, self._boot_ns) for active in self._active]

    def _account(self, scrapes: list[Scrape]) -> None:
        for active, scrape in zip(self._active, scrapes, strict=True):
            active.scraped.add(scrape.points)
            active.errored.add(scrape.lost)
            name = active.scraper.name
            found = {
                (name, kind): failure.message
                if failure.times == 1
                else f"{failure.message} (and {failure.times - 1} more)"
                for kind, failure in scrape.failures.items()
            }
            self._trouble(found, name)
        if any(scrape.points for scrape in scrapes) or not any(scrape.lost for scrape in scrapes):
            self.context.health.ok()
        else:
            self.context.health.degraded("no scraper can read anything; see the log")

    def _trouble(self, found: dict[tuple[str, str], str], scraper: str) -> None:
        """Log what began and what ended to fail since the last scrape, and nothing while it lasts."""
        before = {key for key in self._troubles if key[0] == scraper}
        for key in found.keys() - before:
            self.log.error("scrape_failed", scraper=scraper, error=found[key])
        for key in before - found.keys():
            self.log.info("scrape_recovered", scraper=scraper, error=self._troubles.pop(key))
        self._troubles.update(found)


def scrape_one(scraper: Scraper[Any], recorder: Recorder, now_ns: int, boot_ns: int) -> Scrape:
    """One run of one scraper; when it fails as a whole, a scrape without points that says why."""
    recorder.begin(now_ns, boot_ns)
    try:
        scraper.scrape(recorder)
    except Exception as error:  # noqa: BLE001 - whatever one scraper raises must not cost the others their points
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else repr(error)
        return recorder.abandon("scraper", f"{scraper.name}: {text}")
    return recorder.finish()


def request_of(scrapes: list[Scrape]) -> bytes:
    """The encoded ExportMetricsServiceRequest of one round: the host's own resource, then one per process."""
    scopes = b"".join(scrape.scopes for scrape in scrapes)
    system = [wire.resource_metrics(wire.field(1, b""), scopes, SYSTEM_SCHEMA_URL)] if scopes else []
    return b"".join(system + [group for scrape in scrapes for group in scrape.groups])
