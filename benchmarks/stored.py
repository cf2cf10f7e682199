"""SQL over the directory of a server that does not run.

`python -m benchmarks.stored DIRECTORY` prints `{"ready": true}`, then answers each line of stdin, an SQL statement
inside the tenant `default`, with one JSON line: its columns and the milliseconds it took. A process of its own, so that
the engine's memory is gone when it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.sink import commands
from ophion_agent.server import DEFAULT_TENANT
from ophion_storage.embedded import EmbeddedEngine
from ophion_storage.tenants import database_of

GIB = 1 << 30
SECONDS = 600


async def run(options: argparse.Namespace) -> None:
    """Answer stdin until it ends."""
    engine = EmbeddedEngine(
        Path(options.directory),
        memory_bytes=6 * GIB,
        query_memory_bytes=4 * GIB,
        concurrent_queries=1,
        threads_per_query=2,
        wait_seconds=SECONDS,
        writers=1,
    )
    settings = {"max_execution_time": SECONDS, "output_format_json_quote_64bit_integers": 0}

    async def answer(line: str) -> dict[str, Any]:
        started = time.perf_counter()
        columns = await engine.query(
            line, {}, database=database_of(DEFAULT_TENANT), output_format="JSONColumns", settings=settings
        )
        return {"columns": json.loads(columns), "ms": (time.perf_counter() - started) * 1000}

    try:
        await engine.start()
        print(json.dumps({"ready": True}), flush=True)
        await commands(answer)
    finally:
        await engine.stop()


def main() -> None:
    """Parse the command line and answer stdin."""
    parser = argparse.ArgumentParser(description="SQL over a stopped server's store, for the benchmarks.")
    parser.add_argument("directory")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
