"""Starts OpenTelemetry in a Python process from the bundle beside this file, or says by a span why it does not.

Written for Python 3.8 and later. Everything here fails in silence, since telemetry is never worth an application;
OPHION_INSTRUMENT_DEBUG=1 makes it print what failed to the standard error.
"""

# ruff: noqa: BLE001 - whatever fails here, the application goes on

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Facts = dict[str, Any]

READY_SPAN = "ophion.instrument.ready"
EXPORTER = "otlp_json_http"
_ENVIRONMENT = {
    "OTEL_TRACES_EXPORTER": EXPORTER,
    "OTEL_METRICS_EXPORTER": EXPORTER,
    "OTEL_LOGS_EXPORTER": EXPORTER,
    # Log records are handed over below: a handler on the root logger would silence those that logging and frameworks
    # add only where there is none.
    "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "false",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "false",
}
_REPORT_SECONDS = 20


class Declined(Exception):  # noqa: N818 - states the outcome
    """The application cannot be instrumented; the message says why."""


def start(payload: str) -> None:
    """Instrument this process, once; the outcome is reported from a thread so that nothing waits for the network."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        bundle = os.path.join(payload, "3.10" if sys.version_info >= (3, 10) else "3.8")
        names = _instrument(bundle)
    except Declined as reason:
        _in_background(_report_failure, str(reason))
    except Exception as error:
        _print_failure()
        _in_background(_report_failure, _in_words(error))
    else:
        _in_background(_report_ready, names)


def _print_failure() -> None:
    """Print the exception that is being handled, where the user of the container asks for it."""
    if os.environ.get("OPHION_INSTRUMENT_DEBUG") == "1":
        with suppress(Exception):
            traceback.print_exc()


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _instrument(bundle: str) -> tuple[list[str], list[str]]:
    if not os.path.isdir(bundle):
        raise Declined("the payload has no bundle for Python {}.{}".format(*sys.version_info))
    installed = _installed(sys.path)
    with open(os.path.join(bundle, "ophion-bundle.json"), encoding="utf-8") as file:
        facts = json.load(file)
    sys.path.append(bundle)
    try:
        _check_constraints(facts["constraints"], installed)
    except Declined:
        sys.path.remove(bundle)
        raise
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    before = os.environ.get("OTEL_RESOURCE_ATTRIBUTES")
    os.environ.update(added, OTEL_RESOURCE_ATTRIBUTES=_with_container_id(before or ""))
    try:
        _configure()
        return _start_instrumentors(facts["instrumentors"], installed)
    finally:
        # Programs that the application starts must not inherit settings meant for this process.
        for name in added:
            os.environ.pop(name, None)
        os.environ.pop("OTEL_RESOURCE_ATTRIBUTES", None)
        if before is not None:
            os.environ["OTEL_RESOURCE_ATTRIBUTES"] = before


def _with_container_id(attributes: str) -> str:
    """Add container.id, which no environment can know before the container is made."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            found = re.search(r"/containers/([0-9a-f]{64})/", file.read())
    except OSError:
        found = None
    if found is None or "container.id=" in attributes:
        return attributes
    return ",".join(filter(None, [attributes, "container.id=" + found.group(1)]))


def _installed(path: list[str]) -> dict[str, str]:
    """Return the version of every distribution on the path by its normalised name, the first on the path winning."""
    found: dict[str, str] = {}
    for folder in path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            base, dot, kind = entry.rpartition(".")
            if dot and kind in ("dist-info", "egg-info"):
                name, _, version = base.partition("-")
                found.setdefault(re.sub("[-_.]+", "-", name.lower()), version.partition("-py")[0])
    return found


def _check_constraints(constraints: dict[str, str], installed: dict[str, str]) -> None:
    for name, wanted in constraints.items():
        if name in installed and not _satisfies(installed[name], wanted):
            found = f"{name} {installed[name]}"
            raise Declined(f"the application brings {found}, the instrumentation needs {wanted}")


def _satisfies(version: str, wanted: str) -> bool:
    specifiers, versions = import_module("packaging.specifiers"), import_module("packaging.version")
    try:
        return not version or specifiers.SpecifierSet(wanted).contains(version, prereleases=True)
    except versions.InvalidVersion:
        return False


def _configure() -> None:
    version = import_module("opentelemetry.instrumentation.version").__version__
    configuration = import_module("opentelemetry.sdk._configuration")
    configuration._OTelSDKConfigurator().configure(auto_instrumentation_version=version)
    if os.environ.get("OTEL_LOGS_EXPORTER") != "none":
        _hand_over_logs()


def _hand_over_logs() -> None:
    """Give every record that passes its logger's level to OpenTelemetry, beside the application's own handlers."""
    try:
        handler = import_module("opentelemetry.instrumentation.logging.handler").LoggingHandler()
    except ImportError:
        handler = import_module("opentelemetry.sdk._logs").LoggingHandler()
    # logging flushes every handler at exit, when this one can start no thread any more; the provider flushes by itself.
    handler.flush = lambda: None
    call_handlers = logging.Logger.callHandlers

    def call_all(self: logging.Logger, record: logging.LogRecord) -> None:
        call_handlers(self, record)
        if not record.name.startswith("opentelemetry"):
            _quietly(handler.handle, record)

    logging.Logger.callHandlers = call_all  # type: ignore[method-assign]


def _start_instrumentors(instrumentors: list[Facts], installed: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of those that started, and what went wrong with each of the others."""
    disabled = {name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    started, failed = [], []
    for entry in instrumentors:
        if entry["name"] in disabled or "*" in disabled or not _wanted(entry, installed):
            continue
        module, _, attribute = entry["entry"].partition(":")
        try:
            getattr(import_module(module), attribute)().instrument(skip_dep_check=True)
        except Exception as error:
            _print_failure()
            failed.append(f"{entry['name']}: {_in_words(error)}")
        else:
            started.append(entry["name"])
    return started, failed


def _wanted(entry: Facts, installed: dict[str, str]) -> bool:
    if entry["any"] and not any(_has(wanted, installed) for wanted in entry["any"]):
        return False
    return all(_has(wanted, installed) for wanted in entry["every"])


def _has(wanted: dict[str, str], installed: dict[str, str]) -> bool:
    version = installed.get(wanted["name"])
    return version is not None and _satisfies(version, wanted["versions"])


def _in_background(function: Callable[[Any], object], argument: Any) -> None:
    if os.environ.get("OPHION_INSTRUMENT_ID"):
        arguments = (function, argument)
        threading.Thread(target=_quietly, args=arguments, name="ophion-instrument", daemon=True).start()


def _quietly(function: Callable[[Any], object], argument: Any) -> None:
    try:
        function(argument)
    except Exception:
        _print_failure()


def _report_ready(names: tuple[list[str], list[str]]) -> None:
    """Send one span through the SDK, so that what arrives proves the whole way and not only the network."""
    provider = import_module("opentelemetry.trace").get_tracer_provider()
    started, failed = names
    attributes = {"ophion.instrument.libraries": started, "process.pid": os.getpid()}
    if failed:
        attributes["ophion.instrument.failed"] = failed
    provider.get_tracer("ophion.instrument").start_span(READY_SPAN, attributes=attributes).end()
    provider.force_flush(_REPORT_SECONDS * 1000)


def _report_failure(reason: str) -> None:
    """Send a span without any package, as OTLP/JSON."""
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import unquote, urlsplit

    url = urlsplit(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
    pairs = [pair.partition("=") for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if "=" in pair]
    attributes = [_attribute(key.strip(), unquote(value.strip())) for key, _, value in pairs]
    attributes.append(_attribute("service.name", os.environ.get("OTEL_SERVICE_NAME", "unknown_service")))
    now = str(time.time_ns())
    span = {
        "traceId": os.urandom(16).hex(),
        "spanId": os.urandom(8).hex(),
        "name": READY_SPAN,
        "kind": 1,
        "startTimeUnixNano": now,
        "endTimeUnixNano": now,
        "attributes": [_attribute("ophion.instrument.error", reason)],
        "status": {"code": 2, "message": reason},
    }
    scope = {"scope": {"name": "ophion.instrument"}, "spans": [span]}
    body = json.dumps({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [scope]}]})
    connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=5)
    connection.request("POST", url.path.rstrip("/") + "/v1/traces", body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()


def _attribute(key: str, value: str) -> Facts:
    return {"key": key, "value": {"stringValue": value}}
