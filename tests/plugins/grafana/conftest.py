"""One server with Jaeger's and Loki's APIs for all tests of a module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from grafana_shop import Grafana, running_shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grafana(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grafana]:
    """Run the server with the shop's telemetry in it."""
    async with running_shop(tmp_path_factory.mktemp("grafana")) as running:
        yield running
