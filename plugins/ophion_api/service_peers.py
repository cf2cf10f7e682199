"""What services call that sends no spans itself: databases, queues and addresses, by the attributes of their calls."""

from __future__ import annotations

from typing import Any, Final

from ophion_api.sql_parts import Binder, string_of

_MOST: Final = 500
_SYSTEMS: Final = ("db.system.name", "db.system")
_ADDRESSES: Final = ("server.address", "peer.service", "net.peer.name", "network.peer.address")
_DESTINATIONS: Final = ("messaging.destination.name", "messaging.destination")


def peers_sql(binder: Binder, where: str, service: str | None) -> str:
    """Return SQL for rows of service, peer, kind, system, consumes, n, failed and quantiles.

    `where` bounds the spans. A call of an address counts only where no other service has answered it. `consumes` is
    true where the service took from a queue.
    """
    mine = f"service_name = {binder.text(service)}" if service is not None else "true"
    answered = f"SELECT cityHash64(trace_id, parent_span_id) FROM spans WHERE {where} AND kind IN (2, 5)"
    kind = "multiIf(db != '', 'database', queue != '', 'queue', address != '' AND kind = 3, 'external', '')"
    peer = (
        "multiIf(db != '', concat(db, if(address = '', '', concat(' at ', address))), "
        "queue != '', concat(queue, if(topic = '', '', concat(' ', topic))), address)"
    )
    return (
        f"SELECT toString(service_name) AS service, {peer} AS peer, {kind} AS what, concat(db, queue) AS system, "
        "kind = 5 AS consumes, count() AS n, countIf(status_code = 2) AS failed, "
        "quantilesTDigest(0.5, 0.95, 0.99)(greatest(duration, 0)) AS quantiles FROM (SELECT service_name, kind, "
        f"status_code, duration, cityHash64(trace_id, span_id) AS link, {_first(_SYSTEMS)} AS db, "
        f"{_first(('messaging.system',))} AS queue, {_first(_DESTINATIONS)} AS topic, {_first(_ADDRESSES)} AS address "
        f"FROM spans WHERE {where} AND kind IN (3, 4, 5) AND {mine}) "
        f"WHERE what != '' AND (what != 'external' OR link NOT IN ({answered})) AND (kind != 5 OR what = 'queue') "
        f"GROUP BY service, peer, what, system, consumes ORDER BY n DESC, service, peer LIMIT {_MOST}"
    )


def _first(keys: tuple[str, ...]) -> str:
    """Return SQL for the first of these attributes that is a text."""
    texts = ", ".join(f"if(startsWith({_value(key)}, '\\x0A'), {string_of(_value(key))}, '')" for key in keys)
    return f"arrayFirst(text -> text != '', [{texts}])"


def _value(key: str) -> str:
    return f"attributes.values[indexOf(attributes.keys, '{key}')]"


def ends(row: dict[str, Any]) -> tuple[str, str]:
    """Return who calls whom in a row of `peers_sql`."""
    return (row["peer"], row["service"]) if row["consumes"] else (row["service"], row["peer"])
