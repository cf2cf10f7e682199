"""How much one caller may ask: token buckets in memory, a bounded number of them."""

import ipaddress
from collections import OrderedDict
from typing import Final

from ophion_agent.plugin import Clock
from ophion_agent.server import Principal, TooManyRequests
from ophion_auth.config import Rate, RateLimits

_LONGEST_ADDRESS: Final = 64


class TokenBuckets:
    """A bucket per key; those not used for longest are forgotten, and are full when they come again."""

    def __init__(self, rate: Rate, capacity: int, clock: Clock) -> None:
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        now = self._clock.monotonic()
        tokens, since = self._buckets.pop(key, (float(self._rate.burst), now))
        tokens = min(float(self._rate.burst), tokens + (now - since) * self._rate.requests_per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate.requests_per_second
        self._buckets[key] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)


class RequestLimits:
    """The limits of the API: by caller, by address, and a lower one by address for those without credentials."""

    def __init__(self, config: RateLimits, clock: Clock) -> None:
        rates = (config.caller, config.address, config.anonymous)
        self._callers, self._addresses, self._anonymous = (
            TokenBuckets(rate, config.remembered, clock) if rate is not None else None for rate in rates
        )

    def admit(self, principal: Principal, client: str) -> None:
        """Count one request; raises TooManyRequests."""
        address = address_key(client)
        if principal.kind == "anonymous":
            _take(self._anonymous, address, "requests without credentials from this address")
            return
        _take(self._callers, f"{principal.kind} {principal.subject}", f"requests by {principal.subject}")
        _take(self._addresses, address, "requests from this address")


def _take(buckets: TokenBuckets | None, key: str, what: str) -> None:
    wait = buckets.take(key) if buckets is not None else 0.0
    if wait:
        raise TooManyRequests(f"too many {what}; wait and try again", wait)


def address_key(client: str) -> str:
    """Return what an address is counted under: an IPv6 client has a whole /64 to itself (RFC 6177)."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client[:_LONGEST_ADDRESS]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
