"""Clients that ask what dashboards ask, for as long as they are told to: PromQL ranges, searches and histograms.

`python -m benchmarks.query_clients --target 127.0.0.1:8080 --key KEY` prints `{"ready": true}`, then obeys commands on
stdin, with one JSON line for each: `for SECONDS`. The answer counts answers and errors, and has percentiles of the
milliseconds of each kind of query.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import aiohttp
import uvloop

from benchmarks.process import quantiles
from benchmarks.sink import commands

_RATE = "sum by (http_request_method) (rate(http_server_metric_1_seconds_total[1m]))"
_QUANTILE = "histogram_quantile(0.95, sum by (le, http_route) (rate(http_server_metric_0_seconds_bucket[1m])))"
_HOUR = 3600
# Kind, path and parameters; `start`, `end` and `step` of PromQL are put in when it is asked.
QUERIES: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("PromQL rate", "/api/v1/query_range", {"query": _RATE}),
    ("PromQL quantile", "/api/v1/query_range", {"query": _QUANTILE}),
    (
        "PromQL of the host",
        "/api/v1/query_range",
        {"query": "sum by (state) (rate(system_cpu_time_seconds_total[1m]))"},
    ),
    ("trace search", "/api/traces", {"service": "checkout-1", "min_duration": "40ms", "from": "now-1h"}),
    ("trace search by attribute", "/api/traces", {"attr": "http.response.status_code>=500", "from": "now-15m"}),
    ("trace histogram", "/api/traces/histogram", {"service": "checkout-2", "from": "now-1h"}),
    ("log search", "/api/logs", {"query": "order placed", "from": "now-1h"}),
    ("log search, rare", "/api/logs", {"query": "4711", "from": "now-1h"}),
    ("log histogram", "/api/logs/histogram", {"query": "placed", "from": "now-1h"}),
    ("services", "/api/services", {"from": "now-1h"}),
)


class Clients:
    """Asks in turn, each client with a pause between an answer and its next question."""

    def __init__(self, options: argparse.Namespace, session: aiohttp.ClientSession) -> None:
        self.options = options
        self.session = session
        self.milliseconds: dict[str, list[float]] = defaultdict(list)
        self.errors: Counter[str] = Counter()

    async def command(self, line: str) -> dict[str, Any]:
        """Carry out one line of stdin and return the answer."""
        name, _, argument = line.partition(" ")
        if name != "for":
            raise ValueError(f"benchmarks.query_clients: unknown command {line!r}; valid: for SECONDS")
        self.milliseconds.clear()
        self.errors.clear()
        deadline = time.monotonic() + float(argument)
        await asyncio.gather(*(self._client(number, deadline) for number in range(self.options.clients)))
        every = list(itertools.chain.from_iterable(self.milliseconds.values()))
        kinds = {kind: quantiles(values) for kind, values in self.milliseconds.items()}
        return {"answers": len(every), "errors": dict(self.errors), "all_ms": quantiles(every), "ms": kinds}

    async def _client(self, number: int, deadline: float) -> None:
        await asyncio.sleep(self.options.pause * number / self.options.clients)
        for turn in itertools.count(number):
            if time.monotonic() >= deadline:
                return
            await self._ask(*QUERIES[turn % len(QUERIES)])
            await asyncio.sleep(self.options.pause)

    async def _ask(self, kind: str, path: str, parameters: Mapping[str, str]) -> None:
        now = time.time()
        times = {"start": str(now - _HOUR), "end": str(now), "step": "15"} if "query_range" in path else {}
        started = time.perf_counter()
        try:
            async with self.session.get(
                f"http://{self.options.target}{path}", params={**parameters, **times}
            ) as response:
                body = await response.read()
                if response.status != 200:
                    self.errors[f"{kind}: {response.status} {body[:120]!r}"] += 1
                    return
        except (aiohttp.ClientError, TimeoutError) as error:
            self.errors[f"{kind}: {type(error).__name__}"] += 1
            return
        self.milliseconds[kind].append((time.perf_counter() - started) * 1000)


async def run(options: argparse.Namespace) -> None:
    """Obey stdin until it ends."""
    timeout = aiohttp.ClientTimeout(total=60)
    headers = {"Authorization": f"Bearer {options.key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector) as session:
        print(json.dumps({"ready": True}), flush=True)
        await commands(Clients(options, session).command)


def main() -> None:
    """Parse the command line and obey stdin."""
    parser = argparse.ArgumentParser(description="Clients that query a server for the benchmarks; loopback only.")
    parser.add_argument("--target", required=True, help="127.0.0.1:PORT")
    parser.add_argument("--key", required=True)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an answer and the next question")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
