"""A shop of two endpoints: GET /order is slow, GET /refund fails."""

import logging
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from telemetry import Telemetry

tracer = trace.get_tracer("shop")
meter = metrics.get_meter("shop")
orders = meter.create_counter("shop.orders", unit="{order}", description="Orders that were paid.")
duration = meter.create_histogram(
    "http.server.request.duration",
    unit="s",
    description="Duration of HTTP server requests.",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
)
log = logging.getLogger("shop")


def order() -> str:
    """Take 0.3 s."""
    with tracer.start_as_current_span("charge card", attributes={"payment.method": "card"}):
        time.sleep(0.3)
    orders.add(1, {"item": "tea"})
    log.info("order placed", extra={"item": "tea"})
    return "order placed\n"


def refund() -> str:
    """Fail; the span records the exception by itself."""
    with tracer.start_as_current_span("find payment"):
        raise LookupError("payment not found")


ROUTES = {"/order": order, "/refund": refund}


class Shop(BaseHTTPRequestHandler):
    """One server span around a request, in the trace of the caller when it sent a `traceparent`."""

    def do_GET(self) -> None:
        """Answer, and record what it took."""
        path = urlsplit(self.path).path
        route = path if path in ROUTES else ""
        attributes: dict[str, str | int] = {"http.request.method": self.command}
        if route:
            attributes["http.route"] = route
        started = time.perf_counter()
        with tracer.start_as_current_span(
            f"{self.command} {route}".strip(),
            context=propagate.extract({name.lower(): value for name, value in self.headers.items()}),
            kind=SpanKind.SERVER,
            attributes={**attributes, "url.path": path},
        ) as span:
            attributes["http.response.status_code"] = status = self.respond(*answer(route, span))
            span.set_attribute("http.response.status_code", status)
        duration.record(time.perf_counter() - started, attributes)

    def respond(self, status: int, body: str) -> int:
        """Send the answer and return its status."""
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(body.encode())
        return status

    def log_message(self, *_: object) -> None:
        """Leave out the server's own line: the span says more."""


def answer(route: str, span: Span) -> tuple[int, str]:
    """Return status and body; a failure marks the request's span."""
    if not route:
        return 404, "not found\n"
    try:
        return 200, ROUTES[route]()
    except LookupError as error:
        span.set_status(Status(StatusCode.ERROR, str(error)))
        span.set_attribute("error.type", type(error).__qualname__)
        log.error("%s failed", route[1:], exc_info=error)
        return 500, f"{error}\n"


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    telemetry = Telemetry()
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Shop)
    # Closing waits for the requests that are under way.
    server.daemon_threads = False
    for number in (signal.SIGINT, signal.SIGTERM):
        # From a thread: the main one is inside `serve_forever`, which `shutdown` waits for.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    log.info("listening on port %s", server.server_port)
    server.serve_forever()
    server.server_close()
    telemetry.shut_down()


if __name__ == "__main__":
    sys.exit(main())
