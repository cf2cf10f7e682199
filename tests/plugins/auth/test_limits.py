"""Token buckets of requests, and the memory of what was asked before."""

import pytest

from ophion_agent.server import ANONYMOUS, Permission, Principal, TooManyRequests
from ophion_agent.testing import ManualClock
from ophion_auth.config import Rate, RateLimits
from ophion_auth.expiring import Expiring
from ophion_auth.limits import RequestLimits, TokenBuckets, address_key

ADA = Principal("ada", "user", "acme", frozenset({Permission.READ}))


def limits(clock: ManualClock, **rates: Rate | None) -> RequestLimits:
    return RequestLimits(
        RateLimits.model_validate({"caller": None, "address": None, "anonymous": None, **rates}), clock
    )


async def test_a_bucket_allows_a_burst_and_then_the_rate() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(Rate(requests_per_second=2, burst=3), 100, clock)

    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    await clock.advance(0.5)
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]
    await clock.advance(3600)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0


def test_the_number_of_buckets_is_bounded() -> None:
    buckets = TokenBuckets(Rate(requests_per_second=1, burst=1), 100, ManualClock())
    for number in range(5000):
        buckets.take(f"attacker {number}")

    assert len(buckets) == 100


async def test_a_caller_has_one_limit_from_everywhere() -> None:
    clock = ManualClock()
    guarded = limits(clock, caller=Rate(requests_per_second=0.1, burst=2))
    guarded.admit(ADA, "192.0.2.1")
    guarded.admit(ADA, "192.0.2.2")

    with pytest.raises(TooManyRequests, match="too many requests by ada; wait and try again") as caught:
        guarded.admit(ADA, "192.0.2.3")

    assert caught.value.headers == {"Retry-After": "10"}
    guarded.admit(Principal("ada", "api_key", "acme", frozenset()), "192.0.2.1")
    await clock.advance(10)
    guarded.admit(ADA, "192.0.2.3")


def test_an_address_has_one_limit_for_all_callers() -> None:
    guarded = limits(ManualClock(), address=Rate(requests_per_second=1, burst=2))
    guarded.admit(ADA, "192.0.2.1")
    guarded.admit(Principal("bob", "user", "acme", frozenset()), "192.0.2.1")

    with pytest.raises(TooManyRequests, match="too many requests from this address; wait"):
        guarded.admit(ADA, "::ffff:192.0.2.1")
    guarded.admit(ADA, "192.0.2.2")


def test_nobody_has_a_limit_of_their_own() -> None:
    guarded = limits(ManualClock(), anonymous=Rate(requests_per_second=1, burst=1))
    guarded.admit(ANONYMOUS, "192.0.2.1")

    with pytest.raises(TooManyRequests, match="too many requests without credentials from this address; wait"):
        guarded.admit(ANONYMOUS, "192.0.2.1")
    guarded.admit(ADA, "192.0.2.1")


def test_no_limits_where_none_are_configured() -> None:
    guarded = limits(ManualClock())
    for _ in range(10_000):
        guarded.admit(ADA, "192.0.2.1")
        guarded.admit(ANONYMOUS, "192.0.2.1")


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 500, "x" * 64),
    ],
)
def test_addresses_are_counted_by_network(client: str, key: str) -> None:
    assert address_key(client) == key


async def test_memory_ends_and_is_bounded() -> None:
    clock = ManualClock()
    memory: Expiring[int, str] = Expiring(5, clock, capacity=3)
    for number in range(4):
        memory.put(number, str(number))

    assert [memory.get(number) for number in range(4)] == [None, "1", "2", "3"]
    assert len(memory) == 3
    await clock.advance(5)
    assert memory.get(3) is None


async def test_what_was_read_before_a_change_is_not_remembered() -> None:
    memory: Expiring[int, str] = Expiring(5, ManualClock())

    async def read() -> str:
        memory.clear()  # Somebody changes it while it is being read.
        return "old"

    assert await memory.get_or_read(1, read) == "old"
    assert memory.get(1) is None
