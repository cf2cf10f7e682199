"""Puts the lines of one message together, such as those of a stack trace."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ophion_docker.logs_lines import PART, Line


class MultilineJoiner:
    """Collects lines per stream until one begins the next message.

    A message is also complete with `max_lines` or before it would grow beyond `max_bytes`. It has the time of its first
    line.
    """

    def __init__(self, start_pattern: str, max_lines: int, max_bytes: int) -> None:
        self._start = re.compile(start_pattern.encode())
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._groups: dict[int, list[Line]] = {}
        self._sizes: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """Number of lines whose message may go on."""
        return sum(len(group) for group in self._groups.values())

    @property
    def oldest_ns(self) -> int | None:
        """Time of the oldest line that waits."""
        return min((group[0][1] for group in self._groups.values()), default=None)

    def add(self, lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
        """Return the messages that are complete now, and the lines that they are made of."""
        messages: list[Line] = []
        used: list[Line] = []
        for line in lines:
            stream, text = line[0] & ~PART, line[2]
            group = self._groups.get(stream)
            full = group is not None and (
                len(group) >= self._max_lines or self._sizes[stream] + len(text) >= self._max_bytes
            )
            if group is not None and (full or self._start.search(text)):
                self._complete(stream, messages, used)
            self._groups.setdefault(stream, []).append(line)
            self._sizes[stream] = self._sizes.get(stream, 0) + len(text) + 1
        return messages, used

    def flush(self) -> tuple[list[Line], list[Line]]:
        """Return what waits as it is, and the lines that it is made of."""
        messages: list[Line] = []
        used: list[Line] = []
        for stream in sorted(self._groups, key=lambda stream: self._groups[stream][0][1]):
            self._complete(stream, messages, used)
        return messages, used

    def reset(self) -> None:
        """Forget what waits: it will be sent again."""
        self._groups.clear()
        self._sizes.clear()

    def _complete(self, stream: int, messages: list[Line], used: list[Line]) -> None:
        group = self._groups.pop(stream)
        del self._sizes[stream]
        messages.append((stream, group[0][1], b"\n".join([text for _, _, text in group])))
        used.extend(group)
