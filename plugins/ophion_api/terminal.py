"""Text for terminals: colours, tables that fit the width, sparklines and bars."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, TextIO

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_NARROWEST: Final = 8
_UNLIMITED: Final = 1_000_000
# What a terminal would obey: C0 and C1 controls, and the marks that turn the direction of writing.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where output goes: whether it takes colours, and how many columns it has."""

    colours: bool = False
    columns: int = _UNLIMITED

    @classmethod
    def of(cls, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Terminal:
        """Return what is known of a stream; what is no terminal has no colours and no width (https://no-color.org)."""
        stream, environ = stream or sys.stdout, os.environ if environ is None else environ
        if not stream.isatty():
            return cls()
        colours = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(colours, max(40, shutil.get_terminal_size((120, 24)).columns))

    @property
    def is_bounded(self) -> bool:
        """Whether there is a width to fit into."""
        return self.columns < _UNLIMITED

    def paint(self, text: str, *styles: str) -> str:
        """Return the text in colours, where there are any; "" is no style."""
        codes = ";".join(_CODES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colours and codes and text else text


def clean(text: str) -> str:
    """Return the text on one line, without what a terminal would obey: telemetry is written by others."""
    return _CONTROLS.sub(lambda match: {"\n": "⏎", "\t": " "}.get(match[0], "·"), text)


def width_of(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int) -> str:
    """Return as much of a text as fits, with an ellipsis where it was longer."""
    if len(text) <= columns and width_of(text) <= columns:
        return text
    kept, used = [], 0
    for letter in text:
        used += width_of(letter)
        if used > columns - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return the text with spaces up to a width."""
    space = " " * max(0, columns - width_of(text))
    return space + text if right else text + space


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    terminal: Terminal,
    *,
    right: Sequence[int] = (),
    styles: Sequence[Sequence[str]] | None = None,
) -> list[str]:
    """Return the lines of a table; the widest columns are cut until it fits. `styles` has a style for each cell."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(header, *cells, strict=True)]
    _shrink(widths, terminal.columns - 2 * (len(widths) - 1))
    lines = [_line(header, widths, right, terminal, ["bold"] * len(header))]
    for number, row in enumerate(cells):
        lines.append(_line(row, widths, right, terminal, styles[number] if styles else [""] * len(row)))
    return lines


def _shrink(widths: list[int], columns: int) -> None:
    while sum(widths) > columns and max(widths) > _NARROWEST:
        widest = widths.index(max(widths))
        next_widest = max([*widths[:widest], *widths[widest + 1 :], _NARROWEST])
        excess = sum(widths) - columns
        widths[widest] = max(_NARROWEST, widths[widest] - max(1, min(excess, widths[widest] - next_widest)))


def _line(
    cells: Sequence[str], widths: Sequence[int], right: Sequence[int], terminal: Terminal, styles: Sequence[str]
) -> str:
    shown = [
        terminal.paint(pad(cut(cell, width), width, right=index in right), style)
        for index, (cell, width, style) in enumerate(zip(cells, widths, styles, strict=True))
    ]
    return "  ".join(shown).rstrip()


def sparkline(values: Sequence[float | None]) -> str:
    """Return a bar per value between the lowest and the highest of them; a gap where there is none."""
    known = [value for value in values if value is not None and isfinite(value)]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    # The difference of two large numbers can be infinite.
    scale = (high - low) if isfinite(high - low) else 0.0

    def bar(value: float | None) -> str:
        if value is None or not isfinite(value):
            return " "
        return _LEVELS[min(7, int((value - low) / scale * 8))] if scale > 0 else _LEVELS[3]

    return "".join(map(bar, values))


def span_bar(offset: float, duration: float, total: float, columns: int) -> str:
    """Return a bar that shows when something ran within `total`; at least one column wide."""
    scale = columns / total if total > 0 else 0.0
    start = min(columns - 1, max(0, int(offset * scale)))
    length = max(1, min(columns - start, round(duration * scale)))
    return " " * start + "█" * length


def short_number(text: str) -> str:
    """Return a number with six significant digits; what is no number stays as it is."""
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def short_duration(milliseconds: float) -> str:
    """Return a duration for people: 250µs, 1.5ms, 2.25s."""
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f}µs"
    if milliseconds < 1000:
        return f"{milliseconds:.3g}ms"
    seconds = milliseconds / 1000
    return f"{seconds:.3g}s" if seconds < 1000 else f"{seconds:.0f}s"
