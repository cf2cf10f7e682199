"""The status page as HTML. Whatever comes from configuration or from other servers is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape

from ophion_agent.plugin import QueueInfo, Status
from ophion_extensions.times import short_bytes, short_count, short_duration
from ophion_extensions.zpages_status import AgentStatus, ComponentStatus, PipelineFlow, PipelineStage, PipelineStatus

_STATUSES = frozenset(Status)
_REFRESH_SECONDS = 5
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='5.5' fill='none' stroke='%230f8a7e' stroke-width='3'/%3E%3C/svg%3E"
)


def status_page(snapshot: AgentStatus, style: str) -> str:
    """Return the whole status page."""
    body = (
        _header(snapshot)
        + _reasons(snapshot.reasons)
        + _tiles(snapshot)
        + _section("pipelines", "Pipelines", "".join(map(_pipeline, snapshot.pipelines)) or _nothing("pipelines"))
        + _section("queues", "Queues", _queues(snapshot.queues))
        + _section("components", "Components", _components(snapshot.components))
    )
    refresh = f'<noscript><meta http-equiv="refresh" content="{_REFRESH_SECONDS}"></noscript>'
    return _document("Ophion agent", body, style, f'{refresh}<script src="app.js" defer></script>')


def config_page(config: str, style: str) -> str:
    """Return the page with the configuration that runs."""
    body = (
        '<header><h1><a href="./">Ophion agent</a></h1><p class="meta">Configuration that runs, secrets redacted</p>'
        f'</header><pre class="card config" tabindex="0">{escape(config)}</pre>'
    )
    return _document("Ophion agent: configuration", body, style)


def _document(title: str, body: str, style: str, head: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="{_ICON}">{head}<style>{style}</style></head><body><main>{body}</main></body></html>'
    )


def _header(snapshot: AgentStatus) -> str:
    badge = '<span class="badge ok">Ready</span>' if snapshot.ready else '<span class="badge failed">Not ready</span>'
    process = snapshot.process
    facts = f"{escape(process.host)} · pid {process.pid} · up {short_duration(snapshot.uptime_seconds)}"
    return (
        f'<header><h1>Ophion agent</h1><span class="version">{escape(snapshot.version)}</span>{badge}'
        f'<p class="meta">{facts}</p>'
        '<nav><a href="config">Configuration</a><a href="status.json">JSON</a></nav></header>'
    )


def _reasons(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    return f'<ul class="card reasons">{"".join(f"<li>{escape(reason)}</li>" for reason in reasons)}</ul>'


def _tiles(snapshot: AgentStatus) -> str:
    dead = sum(queue.dead_letters for queue in snapshot.queues)
    tiles = (
        ("Received", f"{short_count(snapshot.received_per_second)}", "items/s"),
        ("Sent", f"{short_count(snapshot.sent_per_second)}", "items/s"),
        ("Queued", short_bytes(sum(queue.bytes for queue in snapshot.queues)), ""),
        ("Dead letters", short_count(dead), "" if dead != 1 else "batch"),
        ("CPU", f"{snapshot.process.cpu * 100:.1f}", "% of a core"),
        ("Memory", short_bytes(snapshot.process.memory_bytes), ""),
    )
    drawn = "".join(
        f"<div><dt>{label}</dt><dd>{value}<small>{f' {unit}' if unit else ''}</small></dd></div>"
        for label, value, unit in tiles
    )
    return f'<dl class="tiles">{drawn}</dl>'


def _section(anchor: str, title: str, body: str) -> str:
    return f'<section id="{anchor}"><h2>{title}</h2>{body}</section>'


def _nothing(what: str) -> str:
    return f'<p class="card none">No {what}.</p>'


# ---- pipelines


def _pipeline(drawing: PipelineStatus) -> str:
    steps = [_stage(drawing.receivers, "from")]
    for processor, arrow in zip(drawing.processors, drawing.arrows, strict=False):
        steps += [_arrow(arrow, drawing.items), _stage((processor,), "through")]
    steps += [_arrow(drawing.arrows[-1], drawing.items), _stage(drawing.exporters, "to")]
    return (
        f'<article class="card pipeline {escape(drawing.signal)}"><h3>{escape(drawing.id)}</h3>'
        f'<div class="scroll"><div class="flow">{"".join(steps)}</div></div></article>'
    )


def _stage(boxes: Iterable[PipelineStage], side: str) -> str:
    return f'<ul class="stage {side}">{"".join(f"<li>{_box(box)}</li>" for box in boxes)}</ul>'


def _box(box: PipelineStage) -> str:
    title = f' title="{escape(box.reason)}"' if box.reason else ""
    flow = ""
    if box.flow is not None:
        failed = f' <b class="bad">{short_count(box.flow.failed)} failed</b>' if box.flow.failed else ""
        flow = f'<span class="rate">{short_count(box.flow.per_second)}/s{failed}</span>'
    return (
        f'<div class="box {_state(box.status)}"{title}><span class="kind">{escape(box.kind)}</span>'
        f'<span class="id">{escape(box.id)}</span>{flow}</div>'
    )


def _arrow(flow: PipelineFlow, items: str) -> str:
    moving = " moving" if flow.per_second > 0 else ""
    failed = f'<b class="bad">{short_count(flow.failed)} refused</b>' if flow.failed else ""
    return (
        f'<div class="arrow{moving}"><span class="rate">{short_count(flow.per_second)}/s</span><i></i>'
        f'<span class="total">{short_count(flow.total)} {items}{failed}</span></div>'
    )


# ---- tables


def _queues(queues: Sequence[QueueInfo]) -> str:
    if not queues:
        return _nothing("queues")
    heads = ("Exporter", "Fill", "Bytes", "In flight", "Kept in", "Dead letters", "Last error")
    return _table(heads, map(_queue, queues))


def _queue(queue: QueueInfo) -> tuple[str, ...]:
    share = min(100.0, 100 * queue.size / queue.capacity) if queue.capacity else 0.0
    level = "failed" if share >= 90 else "degraded" if share >= 50 else "ok"
    bar = (
        f'<svg class="bar {level}" role="img" aria-label="{share:.0f} % full"><rect class="track" width="100%"'
        f' height="100%" rx="3"/><rect class="fill" width="{share:.1f}%" height="100%" rx="3"/></svg>'
    )
    size = f"{short_count(queue.capacity)} {escape(queue.sizer)}"
    dead = f'<b class="bad">{queue.dead_letters}</b>' if queue.dead_letters else "0"
    return (
        f'<span class="id">{escape(queue.exporter)}</span>',
        f'<span class="fill">{bar}<small>{short_count(queue.size)} of {size}</small></span>',
        short_bytes(queue.bytes),
        str(queue.in_flight),
        "disk" if queue.durable else "memory",
        dead,
        f'<span class="bad">{escape(queue.last_error)}</span>' if queue.last_error else "none",
    )


def _components(components: Sequence[ComponentStatus]) -> str:
    return _table(("Kind", "Component", "State", "For", "Reason"), map(_component, components))


def _component(component: ComponentStatus) -> tuple[str, ...]:
    return (
        escape(component.kind),
        f'<span class="id">{escape(component.id)}</span>',
        f'<span class="state {_state(component.status)}">{escape(component.status)}</span>',
        f'<time datetime="{escape(component.since)}">{short_duration(component.for_seconds)}</time>',
        escape(component.reason),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_cells(heads, row))}</tr>" for row in rows)
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(heads: Sequence[str], row: Sequence[str]) -> Iterable[str]:
    # Narrow screens show rows as blocks, with the heads as labels.
    return (f'<td data-label="{head}">{cell}</td>' for head, cell in zip(heads, row, strict=True))


def _state(status: str) -> str:
    """Return a status as a class name; nothing else may get into the attribute."""
    return status if status in _STATUSES else "unknown"
