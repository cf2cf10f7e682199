"""Typed services that extensions provide and components use, so that plugins never import one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ophion_agent.durable import DurableQueue

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ServiceKey(Generic[T_co]):
    """Names a service; the type parameter is the protocol that its provider implements."""

    name: str


@dataclass(frozen=True, slots=True)
class Provides:
    """Marks a config field whose value is the id of an extension that provides `key`.

    Used as `storage: Annotated[str | None, Provides(QUEUE_STORAGE)]`; the builder refuses a missing or unfit extension.
    """

    key: ServiceKey[object]


class QueueStorage(Protocol):
    """Opens durable queues, each in a place of its own."""

    async def open_queue(self, name: str, max_bytes: int) -> "DurableQueue":
        """Open, or recover, the queue `name`; raises OSError when its directory cannot be used."""


class ServerAuth(Protocol):
    """Decides who may send to a receiver."""

    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Return facts about the sender (such as `subject`); raise Unauthenticated. Header names are lower case."""


class ClientAuth(Protocol):
    """Adds credentials or other headers to what an exporter sends."""

    async def headers(self, metadata: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
        """Return headers for one request; `metadata` is that of the batch being sent."""


QUEUE_STORAGE: ServiceKey[QueueStorage] = ServiceKey("queue storage")
SERVER_AUTH: ServiceKey[ServerAuth] = ServiceKey("server authenticator")
CLIENT_AUTH: ServiceKey[ClientAuth] = ServiceKey("client authenticator")
