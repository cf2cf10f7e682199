"""What the file exporter wrote: OTLP-JSON lines, read as plain dictionaries."""

import json
from pathlib import Path
from typing import Any


class Written:
    """Everything in a file of OTLP-JSON and in the files it was rotated to."""

    def __init__(self, file: Path) -> None:
        self.files = sorted(file.parent.glob(f"{file.stem}*{file.suffix}"))
        # What follows the last end of a line is still being written.
        lines = [line for name in self.files for line in name.read_bytes().split(b"\n")[:-1]]
        self.documents: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def _records(self, signal: str, scopes: str, records: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        for document in self.documents:
            for group in document.get(signal, ()):
                resource = attributes(group["resource"])
                for scope in group[scopes]:
                    for record in scope[records]:
                        name = record.get("name") or record["body"]["stringValue"]
                        found.setdefault(name, (record, {**resource, "scope": scope.get("scope", {}).get("name", "")}))
        return found

    @property
    def spans(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Spans by name, each with its resource's attributes and the name of its scope."""
        return self._records("resourceSpans", "scopeSpans", "spans")

    @property
    def metrics(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Metrics by name, likewise; of one that came several times, the first."""
        return self._records("resourceMetrics", "scopeMetrics", "metrics")

    @property
    def logs(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Log records by body, likewise."""
        return self._records("resourceLogs", "scopeLogs", "logRecords")


def attributes(carrier: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span, event, point, record or resource as a mapping of plain values."""
    return {pair["key"]: plain(pair["value"]) for pair in carrier.get("attributes", ())}


def plain(value: dict[str, Any]) -> Any:
    """Return an AnyValue as a Python value."""
    [(kind, content)] = value.items()
    if kind == "arrayValue":
        return [plain(item) for item in content["values"]]
    return int(content) if kind == "intValue" else content
