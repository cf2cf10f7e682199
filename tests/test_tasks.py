import asyncio

import pytest

from ophion_agent.health import Status
from ophion_agent.testing import ManualClock, make_context, settle


async def test_a_crash_is_shown_counted_and_followed_by_a_restart_with_growing_waits() -> None:
    clock = ManualClock()
    context = make_context(clock=clock)
    runs: list[float] = []

    async def crash() -> None:
        runs.append(clock.monotonic())
        raise ValueError("bug")

    context.spawn("work", crash)
    await settle()
    assert context.health.status is Status.FAILED
    assert context.health.reason == "task processor/under_test/work crashed: ValueError: bug"
    await clock.advance(200)
    assert runs == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert context.metrics.total("ophion_component_task_crashes") == 9
    await context.close()


async def test_a_task_that_ran_long_before_it_crashed_is_restarted_soon() -> None:
    clock = ManualClock()
    context = make_context(clock=clock)
    runs: list[float] = []

    async def crash_after_two_minutes() -> None:
        runs.append(clock.monotonic())
        await clock.sleep(120)
        raise ValueError("bug")

    context.spawn("work", crash_after_two_minutes)
    await clock.advance(300)
    assert runs == [0, 121, 242]
    await context.close()


async def test_a_task_that_returns_is_not_restarted() -> None:
    clock = ManualClock()
    context = make_context(clock=clock)
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    context.spawn("once", once)
    await clock.advance(100)
    assert (runs, context.health.status) == (1, Status.STARTING)
    await context.close()


async def test_a_cancellation_that_nobody_asked_for_counts_as_a_crash() -> None:
    clock = ManualClock()
    context = make_context(clock=clock)
    runs = 0

    async def cancelled_inside() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner
        await asyncio.Event().wait()

    context.spawn("work", cancelled_inside)
    await clock.advance(2)
    assert (runs, context.health.status) == (2, Status.OK)
    await context.close()


async def test_tasks_end_with_the_component() -> None:
    context = make_context()
    cleaned: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    before = asyncio.all_tasks()
    context.spawn("a", wait)
    context.spawn("b", wait)
    await settle()
    await context.close()
    assert cleaned == ["up", "up"]
    assert asyncio.all_tasks() == before
    assert context.health.status is Status.STOPPED


async def test_a_component_outside_an_agent_says_so() -> None:
    with pytest.raises(RuntimeError, match="runs outside an agent"):
        _ = make_context().agent


async def test_a_service_that_was_not_declared_is_refused() -> None:
    from ophion_agent.services import QUEUE_STORAGE

    with pytest.raises(LookupError, match="processor under_test: no queue storage disk; declare it in `requires`"):
        make_context().service(QUEUE_STORAGE, "disk")
