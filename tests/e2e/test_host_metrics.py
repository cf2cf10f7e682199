"""The metrics of this very host, measured by the agent, scraped by a real Prometheus."""

import os
import socket
from pathlib import Path

from e2e.configs import one_pipeline
from e2e.conftest import RunAgent
from prometheus_server import running_prometheus

SCRAPERS = ("cpu", "load", "memory", "disk", "filesystem", "network", "paging", "processes", "system")


async def test_host_metrics_reach_prometheus(run_agent: RunAgent, tmp_path: Path) -> None:
    config = one_pipeline(
        "metrics",
        {"hostmetrics": {"collection_interval": "1s", "scrapers": dict.fromkeys(SCRAPERS)}},
        {"resource_detection": {"detectors": ["system"]}, "batch": {"timeout": "50ms"}},
        {"prometheus": {"endpoint": "127.0.0.1:0", "resource_to_telemetry_conversion": {"enabled": True}}},
    )
    agent = await run_agent(config)
    async with running_prometheus(tmp_path, [f"127.0.0.1:{agent.port('prometheus')}"]) as prometheus:
        cpus = await prometheus.wait_for('system_cpu_time_seconds_total{state="user"}')
        assert len({series["metric"]["cpu"] for series in cpus}) == os.cpu_count()
        assert {series["metric"]["host_name"] for series in cpus} == {socket.gethostname()}
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        assert 0 < await prometheus.value('system_memory_usage_bytes{state="used"}') < total
        assert await prometheus.value('sum(system_filesystem_usage_bytes{mountpoint="/",state="used"})') > 0
        assert await prometheus.value('sum(system_network_io_bytes_total{device="lo"})') >= 0
        assert await prometheus.value("system_cpu_load_average_1m") >= 0
        assert await prometheus.value("sum(system_processes_count)") > 1
        # A counter that Prometheus can make a rate of: several scrapes, never falling.
        await prometheus.wait_for('sum(rate(system_cpu_time_seconds_total{state="idle"}[10s])) >= 0')
    assert await agent.metric("otelcol_scraper_errored_metric_points") == 0
