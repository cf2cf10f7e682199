"""A copy of the /proc tree in tests/testdata/host that a test may change, and scrapes of it decoded by protobuf."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.plugin import Metrics
from ophion_agent.testing import EPOCH_NS
from ophion_host.catalog import SCRAPERS
from ophion_host.config import ScrapersConfig, metric_tables
from ophion_host.host import Host
from ophion_host.receiver import request_of, scrape_one
from ophion_host.recorder import Recorder, Scrape

TESTDATA = Path(__file__).parents[2] / "testdata" / "host"


def attributes_of(owner: Any) -> dict[str, Any]:
    """Attributes of a decoded resource or point as plain values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes}


def value_of(point: Any) -> float:
    value: float = getattr(point, point.WhichOneof("value"))
    return value


@dataclass
class Result:
    scrape: Scrape
    message: Any

    def metrics(self) -> dict[str, Any]:
        """Decoded metrics by name; of several resources, the last one's."""
        return {
            metric.name: metric
            for group in self.message.resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
        }

    def values(self, name: str) -> dict[Any, float]:
        """Values of a metric by its points' attribute values: a tuple, or the value alone where there is one."""
        metric = self.metrics().get(name)
        if metric is None:
            return {}
        points = getattr(metric, metric.WhichOneof("data")).data_points
        found = {tuple(attributes_of(point).values()): value_of(point) for point in points}
        return {key[0] if len(key) == 1 else key: value for key, value in found.items()}

    def processes(self) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
        """Resource attributes, and decoded metrics by name, of every process by pid."""
        found = {}
        for group in self.message.resource_metrics:
            resource = attributes_of(group.resource)
            if "process.pid" in resource:
                metrics = {metric.name: metric for scope in group.scope_metrics for metric in scope.metrics}
                found[resource["process.pid"]] = (resource, metrics)
        return found


class Runner:
    """One scraper that keeps its state from scrape to scrape."""

    def __init__(self, name: str, config: dict[str, Any] | None, host: Host, enable: str | None = None) -> None:
        body = dict(config or {})
        cls = next(cls for cls in SCRAPERS if cls.name == name)
        if enable == "all":
            body["metrics"] = {metric.name: {"enabled": True} for metric in metric_tables()[name]}
        settings = ScrapersConfig.model_validate({name: body}).configured()[name]
        self.scraper = cls(settings, host)
        self.recorder = Recorder(f"test.{name}", "1", settings.enabled_metrics())

    def scrape(self, now_ns: int = EPOCH_NS + 100_000_000_000_000, boot_ns: int = EPOCH_NS) -> Result:
        scrape = scrape_one(self.scraper, self.recorder, now_ns, boot_ns)
        return Result(scrape, Metrics.from_wire(request_of([scrape])).view().message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root filesystem of a made-up host; `/gone` of its mounts does not exist."""
    target = tmp_path / "hostfs"
    shutil.copytree(TESTDATA / "root", target)
    for directory in ("data", "mnt/with blank", "run", *(f"proc/42/fd/{number}" for number in range(3))):
        (target / directory).mkdir(parents=True)
    return target


@pytest.fixture
def runner(root: Path) -> Callable[..., Runner]:
    """Makes a Runner for a scraper of the made-up host; `enable="all"` switches every metric on."""

    def make(name: str, config: dict[str, Any] | None = None, enable: str | None = None) -> Runner:
        return Runner(name, config, Host(str(root), "linux"), enable)

    return make


@pytest.fixture
def real_runner() -> Callable[..., Runner]:
    """Makes a Runner for a scraper of the machine that runs the tests; `platform` other than linux uses psutil."""

    def make(
        name: str, config: dict[str, Any] | None = None, enable: str | None = None, platform: str = "linux"
    ) -> Runner:
        return Runner(name, config, Host("", platform), enable)

    return make
