"""The pure parts of the benchmarks: payloads, counting, configurations and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import harness, payloads
from benchmarks.sink import Ids
from benchmarks.systems import OPHION, ROTEL, Job, Ports, collector_config

PORTS = Ports(grpc_in=1001, http_in=1002, grpc_out=2001, http_out=2002)
RUN = harness.Run("a", items=1000, requests=10, cpu_seconds=2.0, seconds=4.0, peak_rss=2**20, generator_cpu_seconds=1.0)


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize("items", [1, 10, 512])
def test_counter_counts_every_item_of_joined_requests(signal: payloads.Signal, items: int) -> None:
    make = payloads.MAKERS[signal]
    assert payloads.Counter(signal).count(make(items, 1) + make(items, 2)) == 2 * items


def test_spans_are_about_370_bytes() -> None:
    assert 350 <= len(payloads.traces(512)) / 512 <= 390


def test_same_seed_gives_the_same_request() -> None:
    assert payloads.traces(10, 3) == payloads.traces(10, 3) != payloads.traces(10, 4)


def test_numbered_requests_carry_consecutive_ids() -> None:
    numbered = payloads.Numbered(25)
    assert payloads.span_ids(numbered.request(0)) == list(range(25))
    assert payloads.span_ids(numbered.request(25)) == list(range(25, 50))


def test_ids_tell_what_is_missing_and_what_came_twice() -> None:
    ids, numbered = Ids(), payloads.Numbered(10)
    ids.add(numbered.request(0))
    ids.add(numbered.request(0))
    assert ids.missing(10, [0]) == 0
    assert ids.missing(10, [0, 10]) == 10
    assert ids.total - len(ids.seen) == 10


def test_figures_are_per_million_items_and_per_request() -> None:
    assert (RUN.per_million, RUN.per_request_us, RUN.rate) == (2000.0, 200_000.0, 250.0)


def test_median_of_an_even_number_is_the_cheaper_middle_run() -> None:
    runs = [replace(RUN, cpu_seconds=seconds) for seconds in (4.0, 1.0, 3.0, 2.0)]
    assert harness.median(runs).cpu_seconds == 2.0


def test_row_compares_with_the_peer_and_judges_the_goal() -> None:
    peer = replace(RUN, system="peer", cpu_seconds=4.0)
    assert "0.50 x peer | <= 0.60 met |" in harness.row("job", [RUN], peer, 0.6)
    assert "0.50 x peer | <= 0.40 MISSED |" in harness.row("job", [RUN], peer, 0.4)


def test_durable_job_stores_the_exporter_queue(tmp_path: Path) -> None:
    config = collector_config(Job(durable=True, batch="exporter"), PORTS, tmp_path)
    assert config["exporters"]["otlp"]["sending_queue"]["storage"] == "file_storage"
    assert config["service"]["extensions"] == ["file_storage"]
    assert config["service"]["pipelines"]["traces"]["processors"] == []


def test_rotel_refuses_the_jobs_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no zstd"):
        ROTEL.launch(Job(compression="zstd"), PORTS, tmp_path)


def test_ours_runs_the_collector_configuration(tmp_path: Path) -> None:
    launch = OPHION.launch(Job(), PORTS, tmp_path)
    assert launch.command[1:3] == ["run", "--config"]
    assert "127.0.0.1:2001" in Path(launch.command[3]).read_text()
