import gzip
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from pydantic import ValidationError

from ophion_agent.plugin import OphionError, Unauthenticated
from ophion_agent.testing import ManualClock, check_component, make_component
from ophion_exporters.prometheus import PrometheusConfig, PrometheusExporter
from prometheus_payloads import MetricsBuilder

ANY_PORT = "127.0.0.1:0"
SERIES_METRIC = "ophion_exporter_prometheus_series"


@asynccontextmanager
async def running(
    clock: ManualClock | None = None, services: Any = None, **config: Any
) -> AsyncIterator[PrometheusExporter]:
    exporter = make_component(
        PrometheusExporter, {"endpoint": ANY_PORT, **config}, clock=clock or ManualClock(), services=services
    )
    await exporter.start()
    try:
        yield exporter
    finally:
        await exporter.stop()
        await exporter.context.close()


async def scrape(
    exporter: PrometheusExporter, headers: Mapping[str, str] | None = None, **options: Any
) -> tuple[int, Mapping[str, str], bytes]:
    assert exporter.server is not None
    wanted = {"Accept-Encoding": "identity", **(headers or {})}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{exporter.server.url}/metrics", headers=wanted, **options) as response,
    ):
        return response.status, response.headers, await response.read()


async def test_keeps_the_contract() -> None:
    await check_component(PrometheusExporter, {"endpoint": ANY_PORT})


async def test_serves_what_was_exported() -> None:
    async with running() as exporter:
        await exporter.export(MetricsBuilder().counter("http.requests", 5, {"method": "GET"}).batch)
        status, headers, body = await scrape(exporter)
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body == b'# TYPE http_requests_total counter\nhttp_requests_total{method="GET"} 5\n'


async def test_serves_an_empty_page_before_anything_came() -> None:
    async with running() as exporter:
        status, _, body = await scrape(exporter)
    assert (status, body) == (200, b"")


async def test_options_shape_the_exposition() -> None:
    options: dict[str, Any] = {
        "namespace": "shop",
        "const_labels": {"zone": "eu"},
        "send_timestamps": True,
        "add_metric_suffixes": False,
        "without_scope_info": True,
        "resource_to_telemetry_conversion": {"enabled": True},
    }
    async with running(**options) as exporter:
        builder = MetricsBuilder({"host.name": "h"}, "lib").counter("hits", 5, unit="s", time=1_700_000_000_000_000_000)
        await exporter.export(builder.batch)
        _, _, body = await scrape(exporter)
    assert body.splitlines()[-1] == b'shop_hits{host_name="h",zone="eu"} 5 1700000000000'


async def test_openmetrics_only_when_enabled() -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    for enabled, media_type in ((False, "text/plain"), (True, "application/openmetrics-text")):
        async with running(enable_open_metrics=enabled) as exporter:
            _, headers, _ = await scrape(exporter, accept)
            assert headers["Content-Type"].startswith(media_type)


@pytest.mark.parametrize("series", [1, 10_000])
async def test_compresses_when_asked(series: int) -> None:
    async with running() as exporter:
        builder = MetricsBuilder()
        for number in range(series):
            builder.gauge("g", number, {"n": str(number)})
        await exporter.export(builder.batch)
        _, headers, body = await scrape(exporter, {"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).count(b"\ng{") == series


async def test_series_expires_by_the_clock() -> None:
    clock = ManualClock()
    async with running(clock, metric_expiration="1m") as exporter:
        await exporter.export(MetricsBuilder().gauge("g").batch)
        await clock.advance(61)
        assert (await scrape(exporter))[2] == b""


async def test_dropped_points_are_counted_and_a_conflict_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as exporter:
        await exporter.export(MetricsBuilder().gauge("x").batch)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await exporter.export(MetricsBuilder().histogram("x", [1], []).batch)
        counted = exporter.context.metrics.total("ophion_exporter_prometheus_dropped_points", reason="type_conflict")
    assert counted == 3
    assert [record.message for record in caplog.records] == ["metric_refused"]


async def test_series_limit_degrades_health_until_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    full = MetricsBuilder().gauge("x", 1, {"n": "1"}).gauge("x", 1, {"n": "2"}).batch
    async with running(clock, max_series=1, metric_expiration="1m") as exporter:
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                await exporter.export(full.share())
            assert "max_series" in exporter.context.health.reason
            await clock.advance(61)
            await exporter.export(MetricsBuilder().batch)
        assert exporter.context.health.reason == ""
    assert [record.message for record in caplog.records] == ["series_limit_reached", "series_limit_left"]


async def test_number_of_series_is_a_metric_of_the_agent() -> None:
    async with running() as exporter:
        await exporter.export(MetricsBuilder().gauge("x").batch)
        values = [sample.value for sample in exporter.context.metrics.samples() if sample.name == SERIES_METRIC]
    assert values == [1]


async def test_says_which_address_is_taken() -> None:
    async with running() as first:
        assert first.server is not None
        second = make_component(PrometheusExporter, {"endpoint": f"127.0.0.1:{first.server.port}"})
        with pytest.raises(OphionError, match="address is in use"):
            await second.start()
        await second.stop()


async def test_serves_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    tls = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    async with running(tls=tls) as exporter:
        status, _, _ = await scrape(exporter, ssl=client)
    assert status == 200


class TokenAuth:
    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        if "Bearer right" not in headers.get("authorization", ()):
            raise Unauthenticated("a bearer token is needed")
        return {}


async def test_only_authenticated_scrapers_are_served() -> None:
    async with running(services={"token": TokenAuth()}, auth={"authenticator": "token"}) as exporter:
        assert (await scrape(exporter))[0] == 401
        assert (await scrape(exporter, {"Authorization": "Bearer right"}))[0] == 200


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "endpoint"),
        ({"endpoint": ANY_PORT, "const_labels": {"le": "x"}}, "must not be named le"),
        ({"endpoint": ANY_PORT, "translation_strategy": "Upper"}, "NoTranslation"),
        ({"endpoint": ANY_PORT, "max_series": 0}, "greater than or equal to 1"),
        ({"endpoint": ANY_PORT, "metric_expiration": "0s"}, "greater than 0"),
    ],
)
def test_refuses_a_bad_config(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PrometheusConfig.model_validate(config)


def test_takes_the_documented_otelcol_config() -> None:
    config = PrometheusConfig.model_validate(
        {
            "endpoint": "1.2.3.4:1234",
            "namespace": "test-space",
            "const_labels": {"label1": "value1", "another label": "spaced value"},
            "send_timestamps": True,
            "metric_expiration": "180m",
            "enable_open_metrics": True,
            "add_metric_suffixes": False,
            "translation_strategy": "UnderscoreEscapingWithoutSuffixes",
            "resource_to_telemetry_conversion": {"enabled": True, "exclude_service_attributes": True},
        }
    )
    assert config.metric_expiration == 10800.0
    assert config.resource_patterns() == (("*",), ("service.name", "service.namespace", "service.instance.id"))
    assert not config.sending_queue.enabled


def test_resource_constant_labels_override_the_conversion() -> None:
    labels = {"excluded": ["host.*"]}
    config = PrometheusConfig.model_validate({"endpoint": ANY_PORT, "resource_constant_labels": labels})
    assert config.resource_patterns() == (("*",), ("host.*",))
