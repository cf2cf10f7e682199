from typing import Any

import pytest
from pydantic import ValidationError

from ophion_agent.plugin import Logs, Metrics, Traces
from ophion_otlp.grpc_exporter import OTLPExporterConfig
from ophion_otlp.http_exporter import OTLPHTTPExporterConfig


def grpc_config(**options: Any) -> OTLPExporterConfig:
    return OTLPExporterConfig.model_validate({"endpoint": "backend:4317", **options})


def http_config(**options: Any) -> OTLPHTTPExporterConfig:
    return OTLPHTTPExporterConfig.model_validate(options)


def test_defaults_are_those_of_the_collector() -> None:
    grpc, http = grpc_config(), http_config(endpoint="http://backend:4318")
    assert (grpc.timeout, grpc.compression, grpc.plain_text) == (5.0, "gzip", False)
    assert (http.timeout, http.compression, http.encoding) == (30.0, "gzip", "proto")
    assert grpc.retry_on_failure.enabled
    assert http.sending_queue.queue_size == 1000


@pytest.mark.parametrize(
    ("endpoint", "insecure", "target", "plain_text"),
    [
        ("backend:4317", False, "backend:4317", False),
        ("backend:4317", True, "backend:4317", True),
        ("http://backend:4317", False, "backend:4317", True),
        ("http://backend:4317/", False, "backend:4317", True),
        ("https://backend:4317", True, "backend:4317", False),
        ("HTTPS://backend:4317", False, "backend:4317", False),
        (":4317", True, "localhost:4317", True),
        ("dns:///backend:4317", True, "dns:///backend:4317", True),
        ("unix:///run/otlp.sock", True, "unix:///run/otlp.sock", True),
        ("[::1]:4317", True, "[::1]:4317", True),
    ],
)
def test_understands_every_form_of_endpoint(endpoint: str, insecure: bool, target: str, plain_text: bool) -> None:
    config = grpc_config(endpoint=endpoint, tls={"insecure": insecure})
    assert (config.target, config.plain_text) == (target, plain_text)


def test_takes_only_per_signal_endpoints() -> None:
    config = http_config(traces_endpoint="https://x/t", logs_endpoint="https://x/l")
    assert [config.url_of(signal) for signal in (Traces, Metrics, Logs)] == ["https://x/t", "", "https://x/l"]


def test_joins_the_endpoint_and_the_path_of_a_signal() -> None:
    config = http_config(endpoint="http://backend:4318/otlp/", logs_endpoint="http://logs/in")
    assert config.url_of(Traces) == "http://backend:4318/otlp/v1/traces"
    assert config.url_of(Metrics) == "http://backend:4318/otlp/v1/metrics"
    assert config.url_of(Logs) == "http://logs/in"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"insecure": True}, r"`insecure` belongs under `tls`; write `tls: {insecure: true}`"),
        ({"headers": ["a", "b"]}, r"`headers` must be a map, got a list; write `headers: {name: value}`"),
        ({"compression": "zstd"}, r"gRPC compresses with gzip or none here, got zstd; `otlphttp` has zstd"),
        ({"compression": "brotli"}, "Input should be 'gzip', 'none' or ''"),
        ({"endpoint": ""}, "must be host:port"),
        ({"balancer_name": "grpclb"}, "Input should be '', 'pick_first' or 'round_robin'"),
    ],
)
def test_grpc_refuses_common_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        grpc_config(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs somewhere to send; give `endpoint`, or traces_endpoint, metrics_endpoint, logs_endpoint"),
        ({"endpoint": "backend:4318"}, "endpoint: must be a URL with http:// or https://, got 'backend:4318'"),
        ({"traces_endpoint": "x:1"}, "traces_endpoint: must be a URL .*; write http://x:1"),
        ({"endpoint": "http://x", "insecure": True}, "`insecure` belongs under `tls`"),
        ({"endpoint": "http://x", "encoding": "xml"}, "Input should be 'proto' or 'json'"),
    ],
)
def test_http_refuses_common_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        http_config(**options)


def test_null_options_take_the_defaults() -> None:
    assert grpc_config(tls=None, headers=None, sending_queue=None) == grpc_config()
    assert http_config(endpoint="http://x", tls=None, compression=None) == http_config(endpoint="http://x")


def test_takes_what_otelcol_files_hold() -> None:
    grpc_config(
        tls={"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key", "server_name_override": "x"},
        headers={"x-token": "secret", "X-Scope-OrgID": 7},
        keepalive={"time": "20s", "timeout": "5s", "permit_without_stream": True},
        compression="none",
        wait_for_ready=True,
        balancer_name="round_robin",
        write_buffer_size=524288,
        auth={"authenticator": "oauth2client"},
        retry_on_failure={"enabled": True, "initial_interval": "5s", "max_interval": "30s", "max_elapsed_time": "300s"},
        sending_queue={"enabled": True, "num_consumers": 4, "queue_size": 100},
        timeout="10s",
    )
    http_config(
        endpoint="https://backend",
        tls={"insecure_skip_verify": True},
        headers={"api-key": "secret"},
        read_buffer_size=123,
        write_buffer_size=345,
        max_idle_conns=10,
        idle_conn_timeout="30s",
        timeout="10s",
        proxy_url="http://proxy:3128",
    )
