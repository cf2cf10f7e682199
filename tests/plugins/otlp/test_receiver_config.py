from typing import Any

import pytest
from pydantic import ValidationError

from ophion_agent.testing import check_component
from ophion_otlp.receiver import OTLPReceiver
from ophion_otlp.receiver_config import OTLPReceiverConfig


async def test_keeps_the_contract() -> None:
    protocols = {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
    await check_component(OTLPReceiver, {"protocols": protocols})


def load(**protocols: Any) -> OTLPReceiverConfig:
    return OTLPReceiverConfig.model_validate({"protocols": protocols})


def test_null_protocols_take_the_defaults() -> None:
    protocols = load(grpc=None, http=None).protocols
    assert protocols.grpc is not None
    assert protocols.http is not None
    assert (protocols.grpc.endpoint, protocols.http.endpoint) == ("localhost:4317", "localhost:4318")
    assert protocols.grpc.max_bytes == protocols.http.body_limit == 64 << 20
    assert (protocols.http.traces_url_path, protocols.http.logs_url_path) == ("/v1/traces", "/v1/logs")
    assert set(protocols.http.encodings) == {"gzip", "zstd", "zlib", "deflate"}


def test_serves_only_the_protocols_named() -> None:
    assert load(grpc=None).protocols.http is None
    assert load(http={}).protocols.grpc is None


@pytest.mark.parametrize("config", [{}, {"protocols": None}, {"protocols": {}}])
def test_needs_a_protocol(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must name at least one protocol; write `grpc:` or `http:`"):
        OTLPReceiverConfig.model_validate(config)


def test_takes_what_otelcol_files_hold() -> None:
    protocols = load(
        grpc={
            "endpoint": "0.0.0.0:4317",
            "max_recv_msg_size_mib": 16,
            "max_concurrent_streams": 32,
            "keepalive": {
                "server_parameters": {"max_connection_idle": "11s", "max_connection_age": "12s", "time": "30s"},
                "enforcement_policy": {"min_time": "10s", "permit_without_stream": True},
            },
            "auth": {"authenticator": "bearertokenauth"},
            "include_metadata": True,
            "tls": {"cert_file": "server.crt", "key_file": "server.key", "client_ca_file": "ca.crt"},
        },
        http={
            "endpoint": ":4318",
            "cors": {"allowed_origins": ["http://test.com", "https://*.example.com"], "max_age": 7200},
            "max_request_body_size": 1048576,
            "traces_url_path": "traces",
            "compression_algorithms": ["", "gzip", "snappy"],
        },
    ).protocols
    assert protocols.grpc is not None
    assert protocols.http is not None
    assert protocols.grpc.max_bytes == 16 << 20
    assert protocols.http.traces_url_path == "/traces"
    assert protocols.http.encodings == ("gzip",)
    assert protocols.http.body_limit == 1 << 20


def test_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="max_recv_msg_size"):
        load(grpc={"max_recv_msg_size": 3})
