"""Dashboards as YAML: read with file and line of every mistake, written the way people would."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ophion_agent.config_tree import dump_yaml, plain, record_origins
from ophion_agent.model_errors import problems_of
from ophion_agent.origins import Origins, Problem
from ophion_agent.plugin import OphionError
from ophion_agent.yaml_text import parse_yaml
from ophion_dashboard.model import MAX_BODY_BYTES, Dashboard, DashboardFile

_SHOWN: Final = 20


class InvalidDashboardError(OphionError):
    """A text that is no dashboard. `problems` has a sentence for each mistake, with its line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = [str(problem) for problem in problems[:_SHOWN]]
        more = len(problems) - len(self.problems)
        self.problems += [f"and {more} more"] if more else []
        super().__init__("\n".join(self.problems))


def read_dashboard(text: str, file: str) -> DashboardFile:
    """Return the dashboard in a YAML text; raises InvalidDashboardError with every mistake. `file` names it in them."""
    if len(text.encode(errors="replace")) > MAX_BODY_BYTES:
        raise InvalidDashboardError([Problem(file, (), f"must be {MAX_BODY_BYTES >> 10} KiB at most")])
    root, problems = parse_yaml(text, file)
    if root is None or problems:
        raise InvalidDashboardError(problems or [Problem(file, (), "is empty; a dashboard has a title and panels")])
    origins = Origins()
    record_origins(root, origins)
    try:
        return DashboardFile.model_validate(plain(root))
    except ValidationError as error:
        found = problems_of(error, DashboardFile, ())
        raise InvalidDashboardError([origins.problem(path, message) for path, message in found]) from error


def read_dashboard_file(file: Path) -> DashboardFile:
    """Return the dashboard in a file; raises InvalidDashboardError, also for a file that cannot be read."""
    try:
        text = file.read_bytes()[: MAX_BODY_BYTES + 1].decode()
    except OSError as error:
        raise InvalidDashboardError([Problem(str(file), (), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise InvalidDashboardError([Problem(str(file), (), "must be UTF-8")]) from error
    return read_dashboard(text, str(file))


def write_dashboard(uid: str, dashboard: Dashboard) -> str:
    """Return the YAML text of a dashboard, without what is as it would be anyway."""
    content = dashboard.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return dump_yaml({"format": 1, "uid": uid, **content})
