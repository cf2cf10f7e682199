"""Names of rotated files: `name-2026-01-02T15-04-05.000.json`, as lumberjack, and with it otelcol, writes them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

_STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}"
_STAMP_FORMAT = "%Y-%m-%dT%H-%M-%S.%f"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """When a file is rotated and how many old ones stay; 0 backups or days is no limit."""

    max_bytes: int
    max_backups: int
    max_days: int
    localtime: bool


def backup_path(path: Path, now_ns: int, localtime: bool) -> Path:
    """Return the name for a file rotated now: the first free one, counted on by milliseconds."""
    moment = _moment(now_ns, localtime)
    while True:
        stamp = moment.strftime(_STAMP_FORMAT)[:-3]
        candidate = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        if not candidate.exists():
            return candidate
        moment += timedelta(milliseconds=1)


def outdated_backups(path: Path, policy: RotationPolicy, now_ns: int) -> list[Path]:
    """Return the rotated files of `path` that the policy keeps no longer. The age is that in the name."""
    backups = sorted(_backups(path), reverse=True)
    outdated = backups[policy.max_backups :] if policy.max_backups else []
    if policy.max_days:
        oldest = _moment(now_ns, policy.localtime) - timedelta(days=policy.max_days)
        outdated += [backup for backup in backups if backup[0] < oldest and backup not in outdated]
    return [backup for _, backup in outdated]


def _backups(path: Path) -> list[tuple[datetime, Path]]:
    name = re.compile(f"{re.escape(path.stem)}-({_STAMP}){re.escape(path.suffix)}")
    found = ((name.fullmatch(entry.name), entry) for entry in path.parent.iterdir())
    return [(datetime.strptime(match[1], _STAMP_FORMAT), entry) for match, entry in found if match]


def _moment(now_ns: int, localtime: bool) -> datetime:
    seconds, rest = divmod(now_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds) if localtime else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.replace(microsecond=rest // 1000)
