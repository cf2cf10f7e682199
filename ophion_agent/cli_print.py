"""What the commands print for people."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ophion_agent.registry import load_registry

if TYPE_CHECKING:
    from ophion_agent.agent import Agent


def print_banner(agent: "Agent") -> None:
    """Tell on standard error where to look at a running agent."""
    lines = [f"ophion-agent {agent.version} is running"]
    lines += [f"  {what:16} {where}" for what, where in agent.addresses()]
    print("\n".join(lines), file=sys.stderr, flush=True)


def component_rows(plugin_dirs: list[str]) -> tuple[list[dict[str, object]], list[dict[str, str]]]:
    """Return one row per component, and one per plugin that could not be loaded."""
    registry = load_registry(Path(folder) for folder in plugin_dirs)
    rows: list[dict[str, object]] = [
        {
            "kind": registered.component.kind,
            "type": registered.component.type_name,
            "aliases": list(registered.component.aliases),
            "signals": sorted(signal.signal for signal in registered.component.handles),
            "plugin": registered.origin,
            "summary": (registered.component.__doc__ or "").strip().partition("\n")[0],
        }
        for registered in registry.components()
    ]
    broken = [{"plugin": item.name, "origin": item.origin, "error": item.error} for item in registry.broken]
    return rows, broken


def print_components(rows: list[dict[str, object]], broken: list[dict[str, str]]) -> None:
    """Print the rows of `component_rows` as a table by kind."""
    kind = None
    for row in rows:
        if row["kind"] != kind:
            kind = row["kind"]
            print(f"{kind}s:")
        signals = ",".join(map(str, row["signals"])) if isinstance(row["signals"], list) else ""
        print(f"  {row['type']:20} {signals:20} {row['summary']}  [{row['plugin']}]")
    for plugin in broken:
        print(f"broken plugin {plugin['plugin']} ({plugin['origin']}): {plugin['error']}", file=sys.stderr)
