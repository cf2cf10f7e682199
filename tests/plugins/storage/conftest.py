"""Both engines of the telemetry store, for tests that must hold on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clickhouse_server import clickhouse_server
from ophion_storage.store import TelemetryStore
from telemetry_store import running_store


@pytest.fixture(params=["embedded", "remote"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TelemetryStore]:
    """A running store, embedded and through clickhouse-connect on a server's HTTP interface."""
    if request.param == "embedded":
        async with running_store(tmp_path) as running:
            yield running
        return
    async with clickhouse_server(tmp_path) as (url, user, password):
        remote = {"urls": [url], "user": user, "password": password}
        async with running_store(tmp_path, engine="clickhouse", clickhouse=remote) as running:
            yield running
