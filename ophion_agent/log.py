"""Structured logging: constant event names, key-value facts, a component id bound once."""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ophion_agent.clock import Clock
from ophion_agent.errors import OphionError

if TYPE_CHECKING:
    from ophion_agent.settings import LogSettings

LEVELS = ("debug", "info", "warn", "error")
_FIELDS = "ophion_fields"


class Log:
    """Logs events with facts as keywords: `log.info("queue_full", bytes=10)`."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: dict[str, Any] | None = None) -> None:
        self._logger = logger
        self._fields = fields or {}

    def bind(self, **fields: Any) -> "Log":
        """Return a log that adds `fields` to every event."""
        return Log(self._logger, {**self._fields, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        """Log a detail that only someone hunting a fault wants."""
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log a change of state."""
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log something the operator may have to act on."""
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure."""
        self._emit(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log a failure with the traceback of the exception being handled."""
        self._emit(logging.ERROR, event, fields, exc_info=True)

    def _emit(self, level: int, event: str, fields: dict[str, Any], exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            extra = {_FIELDS: {**self._fields, **fields}}
            self._logger.log(level, "%s", event, extra=extra, exc_info=exc_info)


class Repeats:
    """Lets an event that may come with every batch into the log at most once in `seconds`."""

    def __init__(self, clock: Clock, seconds: float = 60.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._last = float("-inf")

    def due(self) -> bool:
        """Tell whether the event may be logged now; then not again until the time is over."""
        now = self._clock.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the facts that an event was logged with; a record from another library has none."""
    fields: dict[str, Any] = getattr(record, _FIELDS, {})
    return fields


class ConsoleFormatter(logging.Formatter):
    """`2026-01-02T15:04:05.123Z info  otlp started endpoint=localhost:4317`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(fields_of(record))
        component = fields.pop("component", record.name)
        facts = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
        line = f"{_timestamp(record)} {_level(record):5} {component} {record.getMessage()} {facts}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, event and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"ts": _timestamp(record), "level": _level(record), "event": record.getMessage(), **fields_of(record)}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _plain(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c.isspace() or c == '"' for c in text) else text


def _level(record: logging.LogRecord) -> str:
    return {"WARNING": "warn", "CRITICAL": "error"}.get(record.levelname, record.levelname.lower())


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent_logger() -> logging.Logger:
    """Return the logger that everything of the agent logs under."""
    return logging.getLogger("ophion")


def configure(settings: "LogSettings") -> list[logging.Handler]:
    """Send the agent's log where the settings say and return the handlers, for the caller to remove at the end.

    Raises OphionError, and changes nothing, when a file cannot be written.
    """
    logger = agent_logger()
    handlers = [_handler(path) for path in settings.output_paths]
    logger.setLevel({"warn": "WARNING"}.get(settings.level, settings.level.upper()))
    logger.propagate = False
    for handler in handlers:
        handler.setFormatter(JsonFormatter() if settings.encoding == "json" else ConsoleFormatter())
        if settings.initial_fields:
            handler.addFilter(_InitialFields(settings.initial_fields))
        logger.addHandler(handler)
    return handlers


def _handler(path: str) -> logging.Handler:
    streams = {"stderr": sys.stderr, "stdout": sys.stdout}
    if path in streams:
        return logging.StreamHandler(streams[path])
    try:
        return logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        where = "service.telemetry.logs.output_paths"
        raise OphionError(f"{where}: cannot write {path}: {error.strerror}; choose stderr or another file") from error


class _InitialFields(logging.Filter):
    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__()
        self._initial = fields

    def filter(self, record: logging.LogRecord) -> bool:
        setattr(record, _FIELDS, {**self._initial, **fields_of(record)})
        return True
