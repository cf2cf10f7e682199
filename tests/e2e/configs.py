"""Parts of configurations that several tests use."""

from typing import Any

OTLP_ANYWHERE = {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}}
"""An otlp receiver on free ports."""

QUICK_RETRY = {"initial_interval": "50ms", "max_interval": "200ms", "max_elapsed_time": "0s"}


def otlp_to(endpoint: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of an otlp exporter that sends without TLS and retries at once."""
    return {"endpoint": endpoint, "tls": {"insecure": True}, "retry_on_failure": QUICK_RETRY, **settings}


def one_pipeline(
    signal: str, receivers: dict[str, Any], processors: dict[str, Any], exporters: dict[str, Any], **sections: Any
) -> dict[str, Any]:
    """Return a configuration of one pipeline with these components, in this order, and further sections."""
    pipeline = {"receivers": [*receivers], "processors": [*processors], "exporters": [*exporters]}
    service = {"pipelines": {signal: pipeline}, "extensions": [*sections.get("extensions", ())]}
    parts = {"receivers": receivers, "processors": processors, "exporters": exporters}
    return {**parts, **sections, "service": {**service, **sections.get("service", {})}}
