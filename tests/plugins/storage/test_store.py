"""The telemetry store on both engines: tenants, series, roll-ups, limits, retention."""

import asyncio
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ophion_agent.plugin import SIGNALS, PermanentError, RetryableError
from ophion_agent.server import BadRequest, Overloaded, QueryLimits
from ophion_agent.testing import make_logs, make_metrics, make_traces
from ophion_storage.config import RetentionConfig
from ophion_storage.schema import migrations
from ophion_storage.store import TelemetryStore
from telemetry_store import ingest, running_store


async def count(store: TelemetryStore, table: str, tenant: str = "default") -> int:
    rows = await store.query(f"SELECT count() AS n FROM {table}", tenant=tenant)
    return int(rows["n"][0])


async def test_stores_each_signal(store: TelemetryStore) -> None:
    await store.ingest(make_traces(3), "default")
    await store.ingest(make_metrics(4), "default")
    await store.ingest(make_logs(5), "default")

    assert [await count(store, table) for table in ("spans", "samples", "logs")] == [3, 4, 5]


async def test_keeps_tenants_apart(store: TelemetryStore) -> None:
    await store.ingest(make_logs(2), "default")
    await store.ingest(make_logs(3), "acme")

    assert await count(store, "logs") == 2
    assert await count(store, "logs", "acme") == 3
    assert await store.tenants() == ["acme", "default"]


async def test_has_no_statement_that_reaches_another_tenant_by_a_parameter(store: TelemetryStore) -> None:
    await store.ingest(make_logs(2, service="secret"), "acme")
    evil = "x' UNION ALL SELECT service_name FROM ophion_acme.logs WHERE '1' = '1"

    rows = await store.query(
        "SELECT service_name FROM logs WHERE service_name = {service:String}", {"service": evil}, tenant="default"
    )

    assert rows["service_name"] == []


@pytest.mark.parametrize("tenant", ["", "Acme", "a-b", "a`b", "x" * 41, "1a", "../x"])
async def test_refuses_what_cannot_be_a_tenant(store: TelemetryStore, tenant: str) -> None:
    with pytest.raises(RetryableError, match="tenant: must be 1-40 of a-z"):
        await store.ingest(make_logs(1), tenant)


async def test_stores_a_resource_and_a_scope_once_per_batch(store: TelemetryStore) -> None:
    await store.ingest(make_traces(50, service="a"), "default")
    await store.ingest(make_logs(50, service="a"), "default")

    rows = await store.query(
        "SELECT uniqExact(resource_id) AS n, any(service_name) AS s FROM resources", tenant="default"
    )

    assert rows.dicts() == [{"n": 1, "s": "a"}]
    assert await count(store, "resources") <= 2


async def test_finds_a_trace_by_its_index(store: TelemetryStore) -> None:
    await store.ingest(make_traces(20), "default")

    rows = await store.query(
        "SELECT count() AS n FROM trace_index WHERE trace_id = unhex({id:String})",
        {"id": (7).to_bytes(16, "big").hex()},
        tenant="default",
    )

    assert rows["n"] == [1]


async def test_rolls_operations_up(store: TelemetryStore) -> None:
    batch = make_traces(10, service="shop")
    for scope in batch.edit().scopes():
        for number, span in enumerate(scope.spans):
            span.name = "GET /"
            span.status.code = 2 if number < 3 else 0
    await store.ingest(batch, "default")
    await store.ingest(batch, "default")

    rows = await store.query(
        "SELECT service_name, name, sum(spans) AS n, sum(errors) AS failed, max(longest) AS most, "
        "sum(duration) AS total, arraySum(mapValues(sumMap(buckets))) AS bucketed "
        "FROM operations GROUP BY service_name, name",
        tenant="default",
    )

    assert rows.dicts() == [
        {
            "service_name": "shop",
            "name": "GET /",
            "n": 20,
            "failed": 6,
            "most": 10_000_000,
            "total": 2 * 55_000_000,
            "bucketed": 20,
        }
    ]


async def test_names_series_as_prometheus_does(store: TelemetryStore) -> None:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in (("service.name", "shop"), ("service.namespace", "web"), ("service.instance.id", "i-1")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    total = scope.metrics.add(name="http.requests", unit="{request}")
    total.sum.is_monotonic, total.sum.aggregation_temporality = True, 2
    total.sum.data_points.add(as_int=5, time_unix_nano=1).attributes.add(key="http.route").value.string_value = "/"
    duration = scope.metrics.add(name="http.duration", unit="s")
    duration.histogram.data_points.add(
        count=3, sum=1.5, bucket_counts=[1, 1, 1], explicit_bounds=[0.1, 1], time_unix_nano=1
    )
    await ingest(store, "metrics", request.SerializeToString())

    rows = await store.query(
        "SELECT metric_name, labels['le'] AS le, labels['job'] AS job, labels['instance'] AS instance, "
        "labels['http_route'] AS route, value FROM series INNER JOIN samples USING (series_id) "
        "ORDER BY metric_name, le",
        tenant="default",
    )

    common = ("web/shop", "i-1")
    assert rows.rows() == [
        ("http_duration_seconds_bucket", "+Inf", *common, "", 3),
        ("http_duration_seconds_bucket", "0.1", *common, "", 1),
        ("http_duration_seconds_bucket", "1", *common, "", 2),
        ("http_duration_seconds_count", "", *common, "", 3),
        ("http_duration_seconds_sum", "", *common, "", 1.5),
        ("http_requests_total", "", *common, "/", 5),
    ]


async def test_writes_the_series_of_a_stream_once_a_day(store: TelemetryStore) -> None:
    for _ in range(4):
        await store.ingest(make_metrics(3), "default")

    assert await count(store, "series") == 1
    assert await count(store, "streams") == 3


async def test_knows_after_a_restart_which_series_there_are(tmp_path: Path) -> None:
    async with running_store(tmp_path) as first:
        await first.ingest(make_metrics(1), "default")
    async with running_store(tmp_path) as second:
        await second.ingest(make_metrics(1), "default")

        assert (await count(second, "series"), await count(second, "streams")) == (1, 1)


async def test_copies_series_of_the_day_before_instead_of_naming_them_again(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ophion_storage.catalogue._FEW", 0)
    await store.ingest(make_metrics(1), "default")
    database = "ophion_default"
    await store.engine.execute(
        "INSERT INTO series SELECT day - 1, series_id, 'kept', labels, kind, unit, help, stream_id, resource_id "
        "FROM series",
        database=database,
    )
    await store.engine.execute(
        "ALTER TABLE series DELETE WHERE day = today() SETTINGS mutations_sync = 2", database=database
    )
    await store.engine.execute("TRUNCATE TABLE seen_streams", database=database)

    await store.ingest(make_metrics(1), "default")

    rows = await store.query("SELECT metric_name FROM series WHERE day = today()", tenant="default")
    assert rows["metric_name"] == ["kept"]


async def test_ends_a_series_where_a_point_has_no_value(store: TelemetryStore) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="up")
    metric.gauge.data_points.add(as_double=3.5, flags=1, time_unix_nano=1)
    await ingest(store, "metrics", request.SerializeToString())

    rows = await store.query("SELECT hex(reinterpretAsUInt64(value)) AS bits FROM samples", tenant="default")
    returned = await store.read("metrics", "1", tenant="default")

    assert rows["bits"] == ["7FF0000000000002"]
    assert returned.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].as_double == 3.5


async def test_refuses_a_payload_that_is_no_request(store: TelemetryStore) -> None:
    with pytest.raises(PermanentError, match="cannot read the data"):
        await store.ingest(SIGNALS["logs"].trusted(b"\x0a\x05abc", 1), "default")


@pytest.mark.parametrize(
    ("limits", "order", "problem", "reason"),
    [
        (QueryLimits(rows=10), "", BadRequest, "more rows"),
        (QueryLimits(memory_bytes=1_000_000), "ORDER BY n", Overloaded, "more memory"),
        (QueryLimits(seconds=0.05), "WHERE sipHash64(number) = 1", Overloaded, "took longer"),
    ],
)
async def test_ends_a_query_at_its_limits(
    store: TelemetryStore, limits: QueryLimits, order: str, problem: type[Exception], reason: str
) -> None:
    with pytest.raises(problem, match=reason):
        await store.query(
            f"SELECT sipHash64(number) AS n FROM numbers(100000000) {order}", tenant="default", limits=limits
        )


async def test_ends_a_query_whose_caller_goes_away(store: TelemetryStore) -> None:
    await store.query("SELECT 1", tenant="default")
    query = asyncio.create_task(
        store.query("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", tenant="default")
    )
    await asyncio.sleep(0.3)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query

    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110 - the engine tells nobody
            await store.query(
                "SELECT count() AS n FROM system.processes "
                "WHERE query LIKE '%100000000000%' AND query NOT LIKE '%LIKE%'",
                tenant="default",
            )
        )["n"] != [0]:
            await asyncio.sleep(0.1)


async def test_forgets_each_signal_after_its_own_time(store: TelemetryStore) -> None:
    await store.ingest(make_logs(1), "default")
    assert store._tenants is not None

    await store._tenants.keep("default", RetentionConfig(traces=3, logs=5, metrics=0))

    rows = await store.query(
        "SELECT name, extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)') AS days FROM system.tables "
        "WHERE database = currentDatabase() AND name IN ('spans', 'logs', 'samples', 'series', 'resources') "
        "ORDER BY name",
        tenant="default",
    )
    assert dict(rows.rows()) == {"logs": "5", "resources": "", "samples": "", "series": "", "spans": "3"}


async def test_takes_up_a_migration_that_was_cut_off(tmp_path: Path) -> None:
    async with running_store(tmp_path) as first:
        await first.ingest(make_logs(2), "default")
        await first.engine.execute("TRUNCATE TABLE schema_versions", database="ophion_default")
        await first.engine.execute("DROP TABLE samples", database="ophion_default")
    async with running_store(tmp_path) as second:
        assert (await count(second, "logs"), await count(second, "samples")) == (2, 0)


def test_writes_replicated_tables_for_a_cluster() -> None:
    statements = [text for migration in migrations(replicated=True) for text in migration.statements]

    plain = [text for text in statements if "MergeTree" in text and "ENGINE = Replicated" not in text]
    assert plain == []


async def test_shows_nothing_of_a_query_that_was_ended_in_the_result_of_the_next(tmp_path: Path) -> None:
    async with running_store(tmp_path, query={"concurrency": 1}) as store:
        await store.query("SELECT 1", tenant="default")
        for number in range(20):
            ended = asyncio.create_task(
                store.query("SELECT sum(sipHash64(number)) FROM numbers(1000000000)", tenant="acme")
            )
            await asyncio.sleep(0.02)
            ended.cancel()

            rows = await store.query("SELECT {number:UInt32} AS n", {"number": number}, tenant="default")

            assert rows["n"] == [number]
