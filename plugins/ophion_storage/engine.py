"""What the store asks of a ClickHouse engine, embedded or remote, and how values and errors cross that border."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

from ophion_agent.plugin import OphionError, PermanentError, RetryableError
from ophion_agent.server import BadRequest, Overloaded, Problem

_CODE: Final = re.compile(r"Code: (\d+)")
_DETAIL: Final = re.compile(r".*DB::Exception: (.*?)(?:\s*\([A-Z_]+\))?\s*(?:\(version .*)?\Z", re.DOTALL)
_DETAIL_LENGTH: Final = 400

# Error codes of the engine, from ClickHouse's src/Common/ErrorCodes.cpp.
_TOO_SLOW: Final = {159, 160, 209}
_TOO_MUCH_MEMORY: Final = {241}
_TOO_MANY_ROWS: Final = {158, 191, 307, 396}
_UNREACHABLE: Final = {202, 210}
_CANCELLED: Final = {394}
# What a payload itself can be guilty of; everything else may pass with time: a full disk, too many parts, memory.
_BAD_DATA: Final = {6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 72, 117, 131, 432, 433, 434, 444}


_TSV_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0"))


class EngineError(OphionError):
    """The engine could not do what it was asked; `code` is ClickHouse's error code, 0 where there is none."""

    def __init__(self, message: str) -> None:
        found = _CODE.search(message)
        self.code = int(found.group(1)) if found else 0
        detail = _DETAIL.search(message)
        super().__init__(f"engine: {(detail.group(1) if detail else message)[:_DETAIL_LENGTH]} (code {self.code})")

    def as_problem(self) -> Problem | None:
        """Return what the sender of a query is told, or None where the fault is not theirs to see."""
        if self.code in _TOO_SLOW:
            return Overloaded("the query took longer than it may; ask for a shorter time range or fewer series")
        if self.code in _TOO_MUCH_MEMORY:
            return Overloaded("the query needed more memory than it may; ask for a shorter time range or fewer series")
        if self.code in _UNREACHABLE:
            return Overloaded("the telemetry store cannot be reached; try again")
        if self.code in _TOO_MANY_ROWS:
            return BadRequest("the result has more rows than it may; narrow the query or set a limit", status=422)
        return None

    def as_refusal(self) -> RetryableError | PermanentError:
        """Return what the sender of telemetry is told."""
        if self.code in _BAD_DATA:
            return PermanentError(f"the telemetry store cannot read the data: {self}")
        return RetryableError(f"the telemetry store cannot take data now: {self}")

    @property
    def cancelled(self) -> bool:
        """Whether the query was stopped on request."""
        return self.code in _CANCELLED


class Engine(Protocol):
    """Runs SQL. A statement names no database: it runs inside `database`."""

    async def start(self) -> None:
        """Open or connect; raises OphionError."""

    async def stop(self) -> None:
        """Cancel what runs and close; safe twice."""

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any],
        *,
        database: str,
        output_format: str,
        settings: Mapping[str, Any],
    ) -> bytes:
        """Return the result of a statement that reads; raises EngineError. Cancelling cancels it in the engine."""

    async def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, database: str = "", everywhere: bool = False
    ) -> None:
        """Run a statement that changes something; raises EngineError.

        `everywhere` is for what each server of a cluster has for itself.
        """

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        data: bytes,
        *,
        database: str,
        input_format: str,
        settings: Mapping[str, Any],
    ) -> None:
        """Append rows; on return they are on disk. Raises EngineError."""


def quoted(text: str) -> str:
    """Return a text as an SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"'{escaped}'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value: Any) -> str:
    """Return the SQL literal of a setting's value."""
    if isinstance(value, bool):
        return str(int(value))
    return str(value) if isinstance(value, int | float) else quoted(value)


def settings_clause(settings: Mapping[str, Any]) -> str:
    """Return ` SETTINGS ...`, or nothing without settings."""
    joined = ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())
    return f" SETTINGS {joined}" if joined else ""


def parameter_text(value: Any) -> str:
    """Return the text in which the engine takes a query parameter: TSV's for a string, a literal for anything else."""
    if isinstance(value, datetime | date):
        return _time_text(value)
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return _nested_text(value)
    text = value
    for plain, escaped in _TSV_ESCAPES:
        text = text.replace(plain, escaped)
    return text


def _nested_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "NULL"
    if isinstance(value, datetime | date):
        return quoted(_time_text(value))
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_nested_text(key)}:{_nested_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence | set | frozenset):
        # Queries name thousands of series by their ids.
        text_of = str if set(map(type, value)) == {int} else _nested_text
        return "[" + ",".join(map(text_of, value)) + "]"
    return str(value)


def _time_text(value: date) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat()
