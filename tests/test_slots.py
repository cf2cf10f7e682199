"""Concurrent attempts adapt to how a destination does."""

import asyncio

import pytest

from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.slots import Slots
from ophion_agent.testing import settle


async def fail(slots: Slots, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with slots:
            raise error


async def test_failures_halve_the_limit_down_to_one() -> None:
    slots = Slots(10)
    limits = []
    for _ in range(5):
        await fail(slots, RetryableError("busy"))
        limits.append(slots.limit)
    assert limits == [5.0, 2.5, 1.25, 1.0, 1.0]


async def test_successes_bring_the_limit_back() -> None:
    slots = Slots(3)
    await fail(slots, RetryableError("busy"))
    for _ in range(5):
        async with slots:
            assert slots.used == 1
    assert slots.limit == 3


async def test_a_batch_refused_for_what_it_is_says_nothing_about_the_load() -> None:
    slots = Slots(4)
    await fail(slots, PermanentError("never"))
    assert slots.limit == 4


async def test_no_more_attempts_run_than_there_are_slots() -> None:
    slots, gate, most = Slots(2), asyncio.Event(), 0

    async def attempt() -> None:
        nonlocal most
        async with slots:
            most = max(most, slots.used)
            await gate.wait()

    tasks = [asyncio.create_task(attempt()) for _ in range(5)]
    await settle()
    assert slots.used == 2
    gate.set()
    await asyncio.gather(*tasks)
    assert (most, slots.used) == (2, 0)


async def test_a_cancelled_wait_takes_no_slot() -> None:
    slots, gate = Slots(1), asyncio.Event()

    async def attempt() -> None:
        async with slots:
            await gate.wait()

    first, second = asyncio.create_task(attempt()), asyncio.create_task(attempt())
    await settle()
    second.cancel()
    gate.set()
    await asyncio.gather(first, second, return_exceptions=True)
    async with slots:
        assert slots.used == 1
