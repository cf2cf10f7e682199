"""Background tasks that are watched: a crash is shown, counted and followed by a restart, and never ends the agent."""

import asyncio
from collections.abc import Awaitable, Callable

from ophion_agent.clock import Clock
from ophion_agent.health import Health
from ophion_agent.log import Log
from ophion_agent.self_metrics import Counter

FIRST_RESTART_SECONDS = 1.0
LAST_RESTART_SECONDS = 60.0

TaskFunction = Callable[[], Awaitable[None]]


def is_being_cancelled() -> bool:
    """Tell whether somebody asked the current task to end; if not, a CancelledError in it is a failure inside it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class TaskGroup:
    """The background tasks of one component."""

    def __init__(self, clock: Clock, log: Log, health: Health, crashes: Counter) -> None:
        self._clock = clock
        self._log = log
        self._health = health
        self._crashes = crashes
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, function: TaskFunction) -> None:
        """Run `function` until it returns; when it raises, mark the component failed and run it again after a wait."""
        task = asyncio.create_task(self._supervise(name, function), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self, name: str, function: TaskFunction) -> None:
        wait = FIRST_RESTART_SECONDS
        while True:
            started = self._clock.monotonic()
            try:
                await function()
            except (Exception, asyncio.CancelledError) as error:
                if is_being_cancelled():
                    raise
                self._crashes.add()
                self._health.failed(f"task {name} crashed: {type(error).__name__}: {error}")
                self._log.exception("task_crashed", task=name, restart_in_seconds=wait)
            else:
                return
            if self._clock.monotonic() - started > LAST_RESTART_SECONDS:
                wait = FIRST_RESTART_SECONDS
            await self._clock.sleep(wait)
            wait = min(wait * 2, LAST_RESTART_SECONDS)
            self._health.ok()

    async def cancel(self) -> None:
        """Cancel every task and wait until all have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
