"""Who is at the other end: the client's address and scheme behind proxies that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from ophion_api.config import UNIX_PEER, ApiConfig

if TYPE_CHECKING:
    from aiohttp import web


class Client(NamedTuple):
    """The client's address ("unix" for the peer at a Unix socket), and whether it speaks HTTPS to us or to a proxy."""

    address: str
    secure: bool


class Clients:
    """Tells the client of a request. Forwarding headers count only where the peer is a trusted proxy."""

    def __init__(self, config: ApiConfig) -> None:
        self._networks, self._trusts_unix = config.proxies
        self._public_https = config.public_url.startswith("https:")

    def of(self, request: web.Request) -> Client:
        """Return the client of `request`: the last address in the chain that is no trusted proxy."""
        peer = request.remote or UNIX_PEER
        secure = request.secure or self._public_https
        if not self._trusts(peer):
            return Client(_plain(peer), secure)
        chain = _listed(request.headers.getall("X-Forwarded-For", ()))
        protocols = _listed(request.headers.getall("X-Forwarded-Proto", ()))
        if protocols:
            secure = protocols[-1].lower() == "https" or self._public_https
        return Client(self._client_of(chain, peer), secure)

    def _client_of(self, chain: Sequence[str], peer: str) -> str:
        found = _plain(peer)
        for text in reversed(chain):
            address = _address(text)
            # What is left of something unreadable was not written by a trusted proxy either.
            if address is None:
                return found
            found = str(address)
            if not self._trusts(found):
                return found
        return found

    def _trusts(self, peer: str) -> bool:
        if peer == UNIX_PEER:
            return self._trusts_unix
        address = _address(peer)
        return address is not None and any(address in network for network in self._networks)


def _listed(values: Sequence[str]) -> list[str]:
    return [part for value in values for item in value.split(",") if (part := item.strip())]


def _plain(peer: str) -> str:
    address = _address(peer)
    return peer if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `text`, which may carry a port; an IPv4 address mapped into IPv6 counts as IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
