from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ophion_agent.clock import Clock
from ophion_agent.testing import Sink, make_component
from ophion_otlp.receiver import OTLPReceiver

Receive = Callable[..., Awaitable[OTLPReceiver]]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def receive(sink: Sink) -> AsyncIterator[Receive]:
    """Starts receivers on free ports: `await receive(grpc={...}, http={...})`; what they take goes to `sink`."""
    receivers: list[OTLPReceiver] = []

    async def start(
        grpc: dict[str, Any] | None = None, http: dict[str, Any] | None = None, **arguments: Any
    ) -> OTLPReceiver:
        protocols = {
            name: {"endpoint": "127.0.0.1:0", **options}
            for name, options in (("grpc", grpc), ("http", http))
            if options is not None
        }
        config = {"protocols": protocols}
        receiver = make_component(OTLPReceiver, config, **{"sink": sink, "clock": Clock(), **arguments})
        receivers.append(receiver)
        await receiver.start()
        return receiver

    yield start
    for receiver in receivers:
        await receiver.stop()
        await receiver.stop()
