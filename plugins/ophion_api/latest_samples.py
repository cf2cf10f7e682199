"""The latest values of some metrics of hosts and containers, found by the resources that sent them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ophion_api.attributes_routes import days_within
from ophion_api.sql_parts import Binder, conjunction
from ophion_api.telemetry_access import TenantStore
from ophion_api.time_ranges import TimeRange


async def latest_samples(
    store: TenantStore, metrics: Sequence[str], owner_of: Mapping[int, str], labels: Sequence[str], bounds: TimeRange
) -> dict[str, list[dict[str, Any]]]:
    """Return rows by owner, of which `owner_of` names that of each resource id.

    A row has `metric`, the labels asked for (their names are the caller's own, never a user's), `latest`: the last
    value in `bounds` and `increase`: by how much it grew, resets left out, in `seconds`. Series that differ in other
    labels are summed.
    """
    if not owner_of:
        return {}
    binder = Binder()
    known = conjunction(
        [
            days_within(binder, bounds),
            f"metric_name IN {binder.bind(list(metrics), 'Array(String)')}",
            f"resource_id IN {binder.bind(sorted(owner_of), 'Array(UInt64)')}",
        ]
    )
    columns = "".join(f", any(labels['{label}']) AS {label}" for label in labels)
    names = (
        "SELECT series_id, any(toString(metric_name)) AS metric, any(resource_id) AS resource"
        f"{columns} FROM series WHERE {known} GROUP BY series_id"
    )
    keys = ", ".join(("resource", "metric", *labels))
    sql = (
        f"SELECT {keys}, sum(latest) AS latest, sum(increase) AS increase, max(seconds) AS seconds FROM "
        "(SELECT series_id, argMax(value, time) AS latest, "
        "deltaSumTimestamp(value, toUnixTimestamp64Nano(time)) AS increase, "
        "(toUnixTimestamp64Nano(max(time)) - toUnixTimestamp64Nano(min(time))) / 1e9 AS seconds FROM samples "
        f"WHERE series_id IN (SELECT series_id FROM series WHERE {known}) AND {binder.within('time', bounds)} "
        f"AND NOT isNaN(value) GROUP BY series_id) AS found INNER JOIN ({names}) AS names USING (series_id) "
        f"GROUP BY {keys}"
    )
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (await store.query(sql, binder)).dicts():
        rows[owner_of[row["resource"]]].append(row)
    return rows
