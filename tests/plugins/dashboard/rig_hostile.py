"""Telemetry whose every text tries to become code in a page; kept in a tenant of its own, `HOSTILE_TENANT`.

Each payload would set `window.pwned` to its own number, so a page that fails also tells by what. `requests()` puts
them into service, span, event and scope names, status messages, attribute keys and values, log bodies and levels,
metric names, units, labels and exemplars, hosts and containers. `HOSTILE_TRACE` is the id of the trace that holds
them all.
"""

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import attribute

HOSTILE_TENANT = "hostile"
HOSTILE_TRACE = "badc0de0000000000000000000000bad"
PAYLOADS = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=2>",
    '"><svg onload=window.pwned=3>',
    "javascript:window.pwned=4",
    "</title></style></textarea><iframe srcdoc='<script>parent.pwned=5</script>'></iframe>",
    "' autofocus onfocus='window.pwned=6",
    "{{constructor.constructor('window.pwned=7')()}}",
    "${window.pwned=8}`${window.pwned=8}`",
    "[click](javascript:window.pwned=9) ![x](x' onerror='window.pwned=9)",
    "<math><mtext></p><style><img src=x onerror=window.pwned=10></style></mtext></math>",
    "__proto__",
    "constructor",
    "\u202egnp.exe\u202c \u0000\u0007\ufeff\U0001f4a9 e\u0301",
    "data:text/html,<script>parent.pwned=11</script>",
)
HOSTILE_SERVICE = PAYLOADS[1]
ODD_PATHS = (
    "/services/%3Cscript%3Ewindow.pwned=21%3C%2Fscript%3E",
    "/traces/%22%3E%3Cimg%20src=x%20onerror=window.pwned=22%3E",
    "/traces?service=%3Cimg%20src=x%20onerror=window.pwned=23%3E",
    "/logs?q=%22%3E%3Csvg%20onload=window.pwned=24%3E",
    "/metrics?q=javascript:window.pwned=25",
    "/dashboards/%3Cimg%20src=x%20onerror=window.pwned=26%3E",
    "/hosts/__proto__",
    "/?from=%3Cimg%20src=x%20onerror=window.pwned=27%3E&to=constructor",
    "/sign-in?next=javascript:window.pwned=28",
    "/sign-in?next=//evil.example/",
    "/%E0%A4%A",
)
"""Links that somebody might send; the last one is no valid encoding."""

DASHBOARD_YAML = """\
format: 1
title: "<img src=x onerror=window.pwned=31>"
description: "<script>window.pwned=32</script>"
tags: ["<svg onload=window.pwned=33>"]
folder: "<img src=x onerror=window.pwned=34>"
variables:
  - name: service
    label: "<img src=x onerror=window.pwned=35>"
    kind: query
    query: label_values(hostile_gauge, label)
panels:
  - id: 1
    title: "<img src=x onerror=window.pwned=36> $service"
    description: "<img src=x onerror=window.pwned=37>"
    kind: text
    position: {x: 0, y: 0, w: 12, h: 8}
    text: |
      # <img src=x onerror=window.pwned=38> $service
      [click](javascript:window.pwned=39)
      <a href="javascript:window.pwned=40">here</a>
      <iframe srcdoc="<script>parent.pwned=41</script>"></iframe>
      <form action="https://evil.example/"><button>send</button></form>
      ![leak](https://evil.example/pixel.png)
      <style>body { background: url(https://evil.example/x) }</style>
      <svg><a xlink:href="javascript:window.pwned=42"><text y="9">x</text></a></svg>
  - id: 2
    title: "{{constructor.constructor('window.pwned=43')()}}"
    kind: table
    position: {x: 12, y: 0, w: 12, h: 8}
    queries:
      - expression: hostile_gauge
        legend: "<img src=x onerror=window.pwned=44> {{label}}"
"""
"""A dashboard whose texts attack."""

BAD_LINK_YAML = """\
format: 1
title: Bad link
panels:
  - id: 1
    title: Links
    kind: text
    position: {x: 0, y: 0, w: 12, h: 8}
    text: nothing
    options:
      links:
        - {title: click, url: "javascript:window.pwned=51"}
"""
"""A dashboard whose import is refused, or whose link leads nowhere."""


def text(number: int) -> str:
    """Return a payload; numbers go round."""
    return PAYLOADS[number % len(PAYLOADS)]


def _attributes(start: int) -> list[Any]:
    return [attribute(text(start + number), text(start + number + 1)) for number in range(len(PAYLOADS))]


def traces(now_ns: int) -> ExportTraceServiceRequest:
    """Return the hostile trace: a root and a child per payload, each of a service of its own."""
    request = ExportTraceServiceRequest()
    for number, payload in enumerate(PAYLOADS):
        group = request.resource_spans.add()
        group.resource.attributes.append(attribute("service.name", payload))
        group.resource.attributes.append(attribute("host.name", text(number + 1)))
        group.resource.attributes.append(attribute("container.name", text(number + 2)))
        scope = group.scope_spans.add()
        scope.scope.name, scope.scope.version = payload, payload
        span = scope.spans.add(
            trace_id=bytes.fromhex(HOSTILE_TRACE),
            span_id=(number + 1).to_bytes(8, "big"),
            name=text(number + 3),
            kind=2,
            start_time_unix_nano=now_ns - 60 * 10**9 + number * 10**6,
            end_time_unix_nano=now_ns - 59 * 10**9,
            trace_state=f"vendor={number}",
            attributes=_attributes(number),
        )
        if number:
            span.parent_span_id = number.to_bytes(8, "big")
        span.status.code, span.status.message = 2, payload
        span.events.add(name=payload, time_unix_nano=now_ns - 60 * 10**9, attributes=_attributes(number))
        span.events.add(
            name="exception", time_unix_nano=now_ns - 60 * 10**9,
            attributes=[attribute(f"exception.{part}", payload) for part in ("type", "message", "stacktrace")],
        )  # fmt: skip
    return request


def logs(now_ns: int) -> ExportLogsServiceRequest:
    """Return a log record per payload, of the hostile trace, and a very long one."""
    request = ExportLogsServiceRequest()
    for number, payload in enumerate((*PAYLOADS, "<b>long</b> " * 8_000)):
        group = request.resource_logs.add()
        group.resource.attributes.append(attribute("service.name", text(number)))
        scope = group.scope_logs.add()
        scope.scope.name = payload[:100]
        record = scope.log_records.add(
            time_unix_nano=now_ns - 60 * 10**9 + number,
            severity_number=9 + number % 12,
            severity_text=payload[:100],
            trace_id=bytes.fromhex(HOSTILE_TRACE),
            span_id=(1).to_bytes(8, "big"),
            attributes=_attributes(number),
        )
        record.body.string_value = payload
    return request


def metrics(now_ns: int) -> ExportMetricsServiceRequest:
    """Return a gauge per payload under its name, and `hostile_gauge` with all of them as labels."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend([attribute("service.name", HOSTILE_SERVICE), attribute("host.name", text(2))])
    scope = group.scope_metrics.add()
    for payload in PAYLOADS:
        _gauge(scope.metrics.add(name=payload, unit=payload, description=payload), payload, now_ns)
    metric = scope.metrics.add(name="hostile.gauge", unit="1", description=text(0))
    for payload in PAYLOADS:
        _gauge(metric, payload, now_ns)
    return request


def _gauge(metric: Any, label: str, now_ns: int) -> None:
    for step in range(20):
        point = metric.gauge.data_points.add(time_unix_nano=now_ns - step * 15 * 10**9, as_double=float(step))
        point.attributes.extend([attribute("label", label), attribute(label, label)])
        point.exemplars.add(
            time_unix_nano=now_ns - step * 15 * 10**9,
            as_double=float(step),
            trace_id=bytes.fromhex(HOSTILE_TRACE),
            span_id=(1).to_bytes(8, "big"),
            filtered_attributes=[attribute(label, label)],
        )


def requests(now_ns: int) -> dict[str, bytes]:
    """Return the encoded requests by signal."""
    made = {"traces": traces(now_ns), "logs": logs(now_ns), "metrics": metrics(now_ns)}
    return {signal: request.SerializeToString() for signal, request in made.items()}
