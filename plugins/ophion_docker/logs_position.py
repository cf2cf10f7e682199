"""How far the output of a container was read, exactly enough to go on behind the last line that was delivered.

The engine can be asked for output from a time on, and several lines may have one time. A position is therefore a time
and, for each stream, how many lines since that time were delivered. The engine takes the times of the two streams
apart from one another, so a line may come behind one that is a little younger: a position stays `SLACK_NS` behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ophion_docker.logs_lines import PART, Line

SLACK_NS: Final = 2_000_000_000


class _Anchor:
    """A time and what was delivered since: lines of each stream, and the latest time among them."""

    __slots__ = ("counts", "highest", "since_ns", "until")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.counts: Counter[int] = Counter()
        self.until: dict[int, int] = {}
        # Among all lines seen since the anchor was set, also older ones.
        self.highest = since_ns

    def add(self, delivered: Sequence[Line]) -> None:
        since_ns = self.since_ns
        self.highest = max(self.highest, max([moment for _, moment, _ in delivered]))
        for stream, moment in [
            (stream, moment) for stream, moment, _ in delivered if moment >= since_ns and stream < PART
        ]:
            self.counts[stream] += 1
            self.until[stream] = max(moment, self.until.get(stream, 0))


class Position:
    """Where one container's reading stands.

    Lines come in the order of their stream, with times that grow unless the clock of the engine went back. `since_ns` 0
    is the beginning. After a clock that went back some lines may be delivered twice, and none is lost.
    """

    def __init__(self, since_ns: int = 0, slack_ns: int = SLACK_NS) -> None:
        self._slack_ns = slack_ns
        self._anchor = _Anchor(since_ns)
        # What takes the anchor's place once it is old enough.
        self._next = _Anchor(since_ns)
        self._skip: Counter[int] = Counter()
        self._skip_until: dict[int, int] = {}

    @property
    def since_ns(self) -> int:
        """From when on the engine is to be asked, in Unix nanoseconds."""
        return self._anchor.since_ns

    def resume(self) -> None:
        """Begin to read again from `since_ns`: lines delivered since then will come again and are to be skipped."""
        self._skip = Counter(self._anchor.counts)
        self._skip_until = dict(self._anchor.until)

    @property
    def skipping(self) -> bool:
        """True while lines may come that were delivered before."""
        return bool(self._skip)

    def without_delivered(self, lines: Sequence[Line]) -> list[Line]:
        """Return the lines that were not delivered before the last `resume`."""
        return [line for line in lines if not self._was_delivered(line)]

    def _was_delivered(self, line: Line) -> bool:
        stream, moment, _ = line
        whole = stream & ~PART
        left = self._skip.get(whole, 0)
        # Were the skipped ones removed by rotation, later lines must not be taken for them; older ones are not counted.
        if left == 0 or not self._anchor.since_ns <= moment <= self._skip_until.get(whole, 0):
            return False
        if stream != whole:
            return True
        self._skip[stream] = left - 1
        if left == 1:
            del self._skip[stream]
        return True

    def advance(self, delivered: Sequence[Line], open_ns: int | None) -> None:
        """Note lines as delivered, in order; `open_ns` is the time of the oldest line that was read in part only."""
        if not delivered:
            return
        target = delivered[-1][1] if open_ns is None else min(open_ns, delivered[-1][1])
        if target < self._anchor.since_ns:
            # The clock went back; what was delivered with its former times may come twice.
            self._anchor, self._next = _Anchor(target), _Anchor(target)
        elif target > self._next.highest and target - self._next.since_ns >= self._slack_ns:
            # No line before these has a time from `target` on, so that what is counted from here is complete.
            self._anchor, self._next = self._next, _Anchor(target)
        self._anchor.add(delivered)
        self._next.add(delivered)

    def as_json(self) -> dict[str, Any]:
        """Return the position for storage."""
        anchor = self._anchor
        streams = {str(stream): [count, anchor.until[stream]] for stream, count in anchor.counts.items()}
        return {"since": anchor.since_ns, "streams": streams}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], slack_ns: int = SLACK_NS) -> Position:
        """Return a stored position. Raises ValueError, KeyError or TypeError for something else."""
        position = cls(int(stored["since"]), slack_ns)
        for anchor in (position._anchor, position._next):
            for stream, (count, until) in dict(stored["streams"]).items():
                anchor.counts[int(stream)] = int(count)
                anchor.until[int(stream)] = int(until)
                anchor.highest = max(anchor.highest, int(until))
        return position
