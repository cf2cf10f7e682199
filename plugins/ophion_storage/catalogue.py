"""The series that PromQL knows, derived from the streams that arrive.

The engine keeps a stream's identity as its sender says it (`streams`); here it becomes Prometheus' names and labels
(`series`), once a day per stream. The rules are those of "Prometheus and OpenMetrics Compatibility": see
ophion_agent.prometheus_names.
"""

from __future__ import annotations

import asyncio
import math
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ophion_agent.prometheus_names import Kind, Namer, add_labels, value_text
from ophion_storage.engine import Engine

_OVERLAP_SECONDS: Final = 120
_PAGE: Final = 20_000
# So many new streams are named one by one; of more, as at the beginning of a day, most have a name already.
_FEW: Final = 500

# Streams that arrived today and whose series of today are not known.
_NEW: Final = """
    SELECT
        stream_id, any(resource_id) AS resource_id, any(name) AS name, any(description) AS description,
        any(unit) AS unit, any(type) AS type, any(monotonic) AS monotonic, any(attributes) AS attributes,
        any(bounds) AS bounds, max(toDate(received)) AS day
    FROM streams
    WHERE received >= now() - {seconds:UInt32} AND cityHash64(toDate(received), stream_id) NOT IN seen_streams
    GROUP BY stream_id
"""
# Whether there is any of them: asked after every insert of metrics, and planned in a third of the time.
_IS_ANY_NEW: Final = """
    SELECT 1 AS found FROM streams
    WHERE received >= now() - {seconds:UInt32} AND cityHash64(toDate(received), stream_id) NOT IN seen_streams
    LIMIT 1
"""
_SEEN: Final = """
    INSERT INTO seen_streams
    SELECT DISTINCT cityHash64(day, stream_id) FROM series
    WHERE day >= today() - 1 AND stream_id IN (SELECT stream_id FROM streams WHERE received >= now() - {seconds:UInt32})
"""
# Series that were known on an earlier day are copied, so that the first minutes of a day cost the engine little work
# and this process none.
_COPY: Final = f"""
    INSERT INTO series
    SELECT today() AS day, series_id, metric_name, labels, kind, unit, help, stream_id, resource_id
    FROM series
    WHERE series.day >= today() - 7 AND series.day < today() AND stream_id IN (SELECT stream_id FROM ({_NEW}))
    LIMIT 1 BY series_id
"""
# An alias hides the column of its name, so columns are named with their table.
_DETAILS: Final = f"""
    SELECT
        toString(new.stream_id) AS stream_id, toString(new.resource_id) AS resource_id, name, description, unit, type,
        monotonic, mapKeys(attributes) AS keys, arrayMap(v -> base64Encode(v), mapValues(attributes)) AS encoded,
        bounds, toString(new.day) AS day,
        toString(cityHash64(new.stream_id, 'count', 0.)) AS count_id,
        toString(cityHash64(new.stream_id, 'sum', 0.)) AS sum_id,
        arrayMap(
            b -> toString(cityHash64(new.stream_id, if(new.type = 'summary', 'quantile', 'bucket'), b)),
            arrayPushBack(bounds, inf)
        ) AS bound_ids
    FROM ({_NEW}) AS new
    LIMIT {_PAGE}
"""
_RESOURCES: Final = """
    SELECT
        toString(resources.resource_id) AS resource_id, any(mapKeys(attributes)) AS keys,
        any(arrayMap(v -> base64Encode(v), mapValues(attributes))) AS encoded
    FROM resources
    WHERE resources.resource_id IN {ids:Array(UInt64)}
    GROUP BY resources.resource_id
"""


class Catalogue:
    """Writes the series of one tenant's new streams."""

    def __init__(self, engine: Engine, database: str, promoted: Sequence[str]) -> None:
        self._engine = engine
        self._database = database
        self._namer = Namer()
        self._promoted = promoted
        self._resources: dict[str, dict[str, str]] = {}
        self._seconds = 86_400

    async def recover(self) -> None:
        """Make the engine's set of seen streams agree with the series that there are; to be called once at first."""
        await self._engine.execute("TRUNCATE TABLE seen_streams", database=self._database, everywhere=True)
        sql = "INSERT INTO seen_streams SELECT DISTINCT cityHash64(day, stream_id) FROM series WHERE day >= today() - 1"
        await self._engine.execute(sql, database=self._database, everywhere=True)
        await self.update()

    async def update(self) -> int:
        """Write the series of streams that arrived since the last call, and return how many streams were new."""
        if not (await self._query(_IS_ANY_NEW, {"seconds": self._seconds}))["found"]:
            return 0
        found = total = await self._update_page()
        while found == _PAGE:
            found = await self._update_page()
            total += found
        self._seconds = _OVERLAP_SECONDS
        return total

    async def _update_page(self) -> int:
        seconds = {"seconds": self._seconds}
        columns = await self._query(_DETAILS, seconds)
        streams = len(columns["stream_id"])
        if streams > _FEW:
            await self._engine.execute(_COPY, seconds, database=self._database)
            await self._engine.execute(_SEEN, seconds, database=self._database, everywhere=True)
            columns = await self._query(_DETAILS, seconds)
        if columns["stream_id"]:
            await self._learn_resources(set(columns["resource_id"]))
            # Thousands of new series at once would keep every sender waiting.
            lines = await asyncio.to_thread(self._lines, columns)
            await self._engine.insert(
                "series", (), lines, database=self._database, input_format="JSONEachRow", settings={}
            )
            await self._engine.execute(_SEEN, seconds, database=self._database, everywhere=True)
        return streams

    async def _query(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
        settings = {"output_format_json_quote_denormals": 1}
        result = await self._engine.query(
            sql, parameters, database=self._database, output_format="JSONColumns", settings=settings
        )
        columns: dict[str, list[Any]] = orjson.loads(result)
        return columns

    async def _learn_resources(self, ids: set[str]) -> None:
        missing = [int(identity) for identity in ids if identity not in self._resources]
        if not missing:
            return
        if len(self._resources) > _PAGE:
            self._resources.clear()
            missing = [int(identity) for identity in ids]
        columns = await self._query(_RESOURCES, {"ids": missing})
        for identity, keys, encoded in zip(columns["resource_id"], columns["keys"], columns["encoded"], strict=True):
            self._resources[identity] = self._resource_labels(_texts(keys, encoded))

    def _resource_labels(self, texts: dict[str, str]) -> dict[str, str]:
        """Return `job`, `instance` and the promoted attributes of a resource."""
        labels = {self._namer.label(key): texts[key] for key in self._promoted if texts.get(key)}
        service, namespace = texts.get("service.name", ""), texts.get("service.namespace", "")
        if service:
            labels["job"] = f"{namespace}/{service}" if namespace else service
        if texts.get("service.instance.id"):
            labels["instance"] = texts["service.instance.id"]
        return labels

    def _lines(self, columns: Mapping[str, list[Any]]) -> bytes:
        return b"\n".join(orjson.dumps(row) for row in self._rows(columns))

    def _rows(self, columns: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
        names = list(columns)
        for values in zip(*columns.values(), strict=True):
            yield from self._series_of(dict(zip(names, values, strict=True)))

    def _series_of(self, stream: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        kind, up_down = _kind_of(stream)
        metric = self._namer.metric(stream["name"], stream["unit"], kind, up_down)
        labels = dict(self._resources.get(stream["resource_id"], {}))
        texts = _texts(stream["keys"], stream["encoded"])
        add_labels(labels, tuple(labels), {self._namer.label(key): texts[key] for key in sorted(texts)})
        base = {
            "day": stream["day"],
            "kind": str(kind) if kind is not Kind.UNTYPED else "unknown",
            "unit": stream["unit"],
            "help": stream["description"],
            "stream_id": stream["stream_id"],
            "resource_id": stream["resource_id"],
        }
        for series_id, name, extra in _parts(stream, metric):
            every = {key: text for key, text in {**labels, **extra}.items() if text}
            yield {**base, "series_id": series_id, "metric_name": name, "labels": dict(sorted(every.items()))}


def _kind_of(stream: Mapping[str, Any]) -> tuple[Kind, bool]:
    match stream["type"]:
        case "sum":
            return (Kind.COUNTER, False) if stream["monotonic"] else (Kind.GAUGE, True)
        case "histogram" | "exponential_histogram":
            return Kind.HISTOGRAM, False
        case "summary":
            return Kind.SUMMARY, False
        case _:
            return Kind.GAUGE, False


def _parts(stream: Mapping[str, Any], metric: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Iterate over (series id, metric name, further labels) of the series that Prometheus makes of a stream.

    That of an exponential histogram, a native one in Prometheus, has the stream's own id and no samples.
    """
    kind = stream["type"]
    if kind in ("gauge", "sum"):
        yield stream["stream_id"], metric, {}
        return
    yield stream["count_id"], f"{metric}_count", {}
    yield stream["sum_id"], f"{metric}_sum", {}
    if kind == "exponential_histogram":
        yield stream["stream_id"], metric, {}
    elif kind == "histogram":
        for bound, series_id in zip([*stream["bounds"], math.inf], stream["bound_ids"], strict=True):
            yield series_id, f"{metric}_bucket", {"le": _number(bound)}
    elif kind == "summary":
        for bound, series_id in zip(stream["bounds"], stream["bound_ids"][:-1], strict=True):
            yield series_id, metric, {"quantile": _number(bound)}


def _number(value: Any) -> str:
    """Return a bound as Prometheus writes it: 1 for 1.0, +Inf for infinity."""
    number = float(value)
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)


def _texts(keys: Sequence[str], encoded: Sequence[str]) -> dict[str, str]:
    """Return attributes as texts from their encodings in base64."""
    return {key: value_text(AnyValue.FromString(b64decode(value))) for key, value in zip(keys, encoded, strict=True)}
