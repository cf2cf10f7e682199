"""The Ophion of the comparison: `ophion-agent run` with store, PromQL and HTTP API, and the data set in it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from agent_process import AgentProcess

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]


def configuration(anchor: int, boundaries: str) -> dict[str, Any]:
    """Return the configuration of a server whose data begins at `anchor`, Unix milliseconds.

    `boundaries` are those of its windows: `prometheus2`, which makes it comparable, or `prometheus3`, the default.
    """
    extensions: dict[str, Any] = {
        "telemetry_store": {"directory": "telemetry"},
        "promql": {"range_boundaries": boundaries},
        "everybody": {},
        "comparison_data": {"anchor": anchor},
        "api": {"endpoint": "127.0.0.1:0"},
    }
    receivers = {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:0"}}}}
    service = {
        "plugin_dirs": [str(HERE / "plugins.d")],
        "extensions": list(extensions),
        "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["debug"]}},
    }
    return {"receivers": receivers, "exporters": {"debug": {}}, "extensions": extensions, "service": service}


@asynccontextmanager
async def running_ophion(directory: Path, anchor: int, boundaries: str = "prometheus2") -> AsyncIterator[str]:
    """Start the server in a directory of its own and yield the base URL of its API."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    agent = AgentProcess(directory, configuration(anchor, boundaries), environ={"PYTHONPATH": os.pathsep.join(paths)})
    async with agent:
        yield agent.address("api")
