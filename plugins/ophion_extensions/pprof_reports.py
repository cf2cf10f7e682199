"""What the agent's memory holds, and what its tasks and threads wait for, as text."""

import asyncio
import gc
import io
import sys
import threading
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

_LINES: Final = 50


def heap_report() -> str:
    """Return where memory was allocated if tracemalloc runs, else how many objects of each type there are.

    Slow: to be called in a thread.
    """
    return _allocations() if tracemalloc.is_tracing() else _objects()


def _allocations() -> str:
    snapshot = tracemalloc.take_snapshot()
    current, peak = tracemalloc.get_traced_memory()
    lines = [f"traced memory: {current} bytes, at most {peak}", ""]
    lines += [f"{stat.size:>12} bytes {stat.count:>8} blocks  {stat.traceback}" for stat in _top(snapshot)]
    return "\n".join(lines) + "\n"


def _top(snapshot: tracemalloc.Snapshot) -> list[tracemalloc.Statistic]:
    return snapshot.statistics("lineno")[:_LINES]


def _objects() -> str:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tracked in gc.get_objects():
        kind = f"{type(tracked).__module__}.{type(tracked).__qualname__}"
        counts[kind] += 1
        sizes[kind] += sys.getsizeof(tracked, 0)
    lines = [
        "objects that the garbage collector knows, by type, without what they refer to",
        "(start the agent with PYTHONTRACEMALLOC=1 to see where memory is allocated)",
        "",
    ]
    lines += [f"{size:>12} bytes {counts[kind]:>8} objects  {kind}" for kind, size in sizes.most_common(_LINES)]
    return "\n".join(lines) + "\n"


def stacks_report() -> str:
    """Return the stack of every task of the running event loop and of every thread."""
    text = io.StringIO()
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    text.write(f"{len(tasks)} tasks\n\n")
    for task in tasks:
        text.write(f"task {task.get_name()}\n{''.join(_awaiting(task.get_coro()))}\n")
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    text.write(f"{len(frames)} threads\n\n")
    for ident, frame in frames.items():
        text.write(f"thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}\n")
    return text.getvalue()


def _awaiting(coroutine: Any) -> Iterator[str]:
    """Iterate over the lines at which a task waits, outermost first."""
    while coroutine is not None:
        prefix = next((prefix for prefix in ("cr", "ag", "gi") if hasattr(coroutine, f"{prefix}_frame")), None)
        if prefix is None:
            return
        frame = getattr(coroutine, f"{prefix}_frame")
        if frame is not None:
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_qualname}\n'
        coroutine = getattr(coroutine, "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await")
