"""What telemetry comes from: resources and scopes as they are shown, by the ids that spans and log records have."""

from __future__ import annotations

from collections.abc import Collection

from ophion_api.any_values import attribute_columns, attributes_of
from ophion_api.sql_parts import Binder
from ophion_api.telemetry_access import TenantStore
from ophion_api.traces_models import ResourceView, ScopeView


async def stored_resources(
    store: TenantStore, services: Collection[str], ids: Collection[int]
) -> dict[int, ResourceView]:
    """Return the resources of some services that are still stored, by their ids."""
    binder = Binder()
    where = (
        f"service_name IN {binder.bind(sorted(services), 'Array(String)')} AND "
        f"resource_id IN {binder.bind(sorted(ids), 'Array(UInt64)')}"
    )
    sql = (
        "SELECT resource_id, any(attributes_keys) AS keys, any(attributes_values) AS encoded, any(schema_url) AS url "
        f"FROM (SELECT resource_id, schema_url, {attribute_columns()} FROM resources WHERE {where}) "
        "GROUP BY resource_id"
    )
    return {
        row["resource_id"]: ResourceView(attributes=attributes_of(row["keys"], row["encoded"]), schema_url=row["url"])
        for row in (await store.query(sql, binder)).dicts()
    }


async def stored_scopes(store: TenantStore, ids: Collection[int]) -> dict[int, ScopeView]:
    """Return the scopes that are still stored, by their ids."""
    binder = Binder()
    sql = (
        "SELECT scope_id, any(attributes_keys) AS keys, any(attributes_values) AS encoded, any(name) AS scope, "
        f"any(version) AS release FROM (SELECT scope_id, name, version, {attribute_columns()} FROM scopes "
        f"WHERE scope_id IN {binder.bind(sorted(ids), 'Array(UInt64)')}) GROUP BY scope_id"
    )
    return {
        row["scope_id"]: ScopeView(
            name=row["scope"], version=row["release"], attributes=attributes_of(row["keys"], row["encoded"])
        )
        for row in (await store.query(sql, binder)).dicts()
    }
