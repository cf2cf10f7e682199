"""The `api` extension on a real socket."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from api_serving import Server, serve

ApiServer = Callable[..., Awaitable[Server]]


@pytest.fixture
async def api_server() -> AsyncIterator[ApiServer]:
    """Start `await api_server(routes, authorizer, config)`; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: Any, **options: Any) -> Server:
            return await stack.enter_async_context(serve(*arguments, **options))

        yield start
