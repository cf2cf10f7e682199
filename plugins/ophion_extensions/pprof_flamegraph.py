"""A profile as a page with a flame graph: outermost calls on top, width by time, no script."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final

from ophion_extensions.pprof_format import label
from ophion_extensions.pprof_sampling import Profile

_ROW_PIXELS: Final = 19
_WIDTH: Final = 1200.0
_CHARACTER_PIXELS: Final = 6.8
# Narrower calls cannot be seen or pointed at.
_LEAST_PIXELS: Final = 0.6

STYLE: Final = (
    "body{margin:0;padding:20px;font:14px/1.45 system-ui,sans-serif;background:#f4f5f3;color:#1b211f}"
    "h1{font-size:18px;margin:0 0 4px}p{margin:0 0 14px;color:#646f6a}svg{width:100%;height:auto;display:block}"
    "text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#10201c;pointer-events:none}"
    "rect{stroke:#f4f5f3;stroke-width:.7}rect:hover{stroke:#10201c}"
    ".c0{fill:#8fd3c4}.c1{fill:#a8dbb8}.c2{fill:#c5dfa9}.c3{fill:#e3d9a0}.c4{fill:#efc79b}"
    "@media(prefers-color-scheme:dark){body{background:#121514;color:#e7ece9}p{color:#9aa6a0}rect{stroke:#121514}}"
)


@dataclass
class _Call:
    name: str
    samples: int = 0
    callees: dict[str, "_Call"] = field(default_factory=dict)


def flamegraph(profile: Profile) -> str:
    """Return the page; hovering over a call shows its name and share."""
    root = _tree(profile)
    drawn = list(_rects(root, root.samples, 0.0, 0))
    height = (1 + max((depth for depth, _ in drawn), default=0)) * _ROW_PIXELS
    seconds = profile.duration_ns / 1e9
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ophion agent: profile</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>Where the agent spends its time</h1><p>{root.samples} samples of busy threads in {seconds:.1f} s</p>"
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height}">{"".join(text for _, text in drawn)}</svg></body></html>'
    )


def _tree(profile: Profile) -> _Call:
    root = _Call("all")
    for stack, count in profile.stacks.items():
        call = root
        call.samples += count
        for place in stack:
            name = label(place)
            call = call.callees.setdefault(name, _Call(name))
            call.samples += count
    return root


def _rects(call: _Call, total: int, x: float, depth: int) -> Iterator[tuple[int, str]]:
    width = _WIDTH * call.samples / total if total else 0.0
    if width < _LEAST_PIXELS:
        return
    share = f"{call.name}: {call.samples} samples, {100 * call.samples / total:.1f} %"
    yield depth, f"<g><title>{escape(share)}</title>{_drawn(call.name, x, depth, width)}</g>"
    for callee in sorted(call.callees.values(), key=lambda one: one.name):
        yield from _rects(callee, total, x, depth + 1)
        x += _WIDTH * callee.samples / total


def _drawn(name: str, x: float, depth: int, width: float) -> str:
    y = depth * _ROW_PIXELS
    room = int((width - 8) / _CHARACTER_PIXELS)
    shown = name if len(name) <= room else f"{name[: room - 1]}…"
    text = f'<text x="{x + 4:.1f}" y="{y + 13}">{escape(shown)}</text>' if room > 3 else ""
    color = sum(name.encode()) % 5
    return f'<rect class="c{color}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW_PIXELS - 1}"/>{text}'
