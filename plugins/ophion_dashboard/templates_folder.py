"""The dashboards that ship with the program, for people to start from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from ophion_dashboard.model import Dashboard
from ophion_dashboard.yaml_format import read_dashboard_file

TEMPLATES: Final = Path(__file__).parent / "templates"


@cache
def templates() -> dict[str, Dashboard]:
    """Return name -> dashboard, by name; a template that is none is a fault of ours and raises OphionError."""
    return {file.stem: read_dashboard_file(file).dashboard() for file in sorted(TEMPLATES.glob("*.yaml"))}
