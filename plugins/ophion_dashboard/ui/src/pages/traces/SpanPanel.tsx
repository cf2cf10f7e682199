import { Link } from '@tanstack/react-router'
import { ScrollText, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import type { SchemaSpanView } from '@/api/client'
import { Badge, Dot } from '@/components/Badge'
import { IconButton } from '@/components/Button'
import { CopyButton } from '@/components/Copy'
import { SearchField } from '@/components/Field'
import { Facts } from '@/components/Stat'
import { nameColor } from '@/lib/colors'
import { duration, percent } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { Attributes } from './Attributes'
import { around, textOf } from './links'
import { explain } from './oddities'
import { SpanEvents } from './SpanEvents'
import { SpanHost } from './SpanHost'
import type { Node } from './tree'
import type { Trace } from './useTrace'

interface Props {
  trace: Trace
  node: Node
  close: () => void
}

const ATTRIBUTES_FOR_FILTER = 6

/** Everything that is known of one span. */
export function SpanPanel({ trace, node, close }: Props) {
  const { span } = node
  const [filter, setFilter] = useState('')
  const heading = useRef<HTMLHeadingElement>(null)
  const resource = trace.view.resources[span.resource]
  const scope = trace.view.scopes[span.scope]
  const host = textOf(resource?.attributes, 'host.name')
  const start = trace.startMs + node.start
  const many = Object.keys(span.attributes).length + Object.keys(resource?.attributes ?? {}).length
  const { dark } = useTheme()
  useEffect(() => {
    heading.current?.scrollIntoView({ block: 'nearest' })
  }, [node])
  return (
    <aside
      className="traces-panel panel"
      aria-label={`Span ${span.name}`}
      onKeyDown={(event) => {
        if (event.key === 'Escape') close()
      }}
    >
      <div className="row spread traces-panel-head">
        <div className="grow">
          <h2 ref={heading}>{span.name}</h2>
          <Link to="/services/$name" params={{ name: span.service }} className="row small">
            <Dot color={nameColor(span.service, dark)} /> {span.service}
          </Link>
        </div>
        <IconButton label="Close the details" onPress={close}>
          <X size={16} aria-hidden />
        </IconButton>
      </div>
      <div className="column traces-panel-body">
        <Summary trace={trace} node={node} />
        <div className="row wrap">
          <Link to="/logs" search={{ trace: trace.view.trace_id, span: span.span_id, ...around(start, trace.startMs + node.end, 60_000, 300_000) }} className="button">
            <ScrollText size={14} aria-hidden /> Logs of this span
          </Link>
          <CopyButton text={span.span_id} label="Copy span id" wide />
        </div>
        {host ? <SpanHost host={host} start={start} end={trace.startMs + node.end} /> : null}
        {many > ATTRIBUTES_FOR_FILTER ? <SearchField label="Filter attributes" value={filter} set={setFilter} /> : null}
        <SpanEvents events={span.events} since={node.start} filter={filter} />
        <Attributes title="Attributes" attributes={span.attributes} filter={filter} findIn="span" />
        <Links span={span} />
        <Attributes title="Resource" attributes={resource?.attributes ?? {}} filter={filter} findIn="resource" />
        {scope?.name ? <Attributes title="Scope" attributes={{ name: scope.name, ...(scope.version ? { version: scope.version } : {}), ...scope.attributes }} filter={filter} /> : null}
      </div>
    </aside>
  )
}

const TONES = { error: 'bad', ok: 'ok', unset: 'plain' } as const

function Summary({ trace, node }: { trace: Trace; node: Node }) {
  const { zone } = useTime()
  const { span } = node
  const took = node.end - node.start
  const critical = trace.critical.get(node.index) ?? 0
  const parent = trace.tree.nodes[node.parent]
  const facts: [string, React.ReactNode][] = [
    ['Duration', <b key="b">{duration(took * 1e6)}</b>],
    ['Own time', `${duration((trace.self[node.index] ?? 0) * 1e6)}${took > 0 ? ` (${percent((trace.self[node.index] ?? 0) / took)})` : ''}`],
    ['Critical path', critical > 0 ? duration(critical * 1e6) : 'not on it'],
    ['Start', `${clock(trace.startMs + node.start, zone, 3)} (+${duration((node.start - trace.tree.start) * 1e6)})`],
    ['Kind', span.kind],
    ['Status', <Badge key="s" tone={TONES[span.status]}>{span.status}</Badge>],
  ]
  if (span.trace_state) facts.push(['Trace state', span.trace_state])
  return (
    <>
      <Facts facts={facts} />
      {span.status_message ? <div className={`notice ${span.status === 'error' ? 'bad' : ''}`}>{span.status_message}</div> : null}
      {node.oddities.map((oddity) => (
        <div key={oddity} className="notice warn">
          {explain(node, oddity, parent)}
        </div>
      ))}
    </>
  )
}

function Links({ span }: { span: SchemaSpanView }) {
  if (!span.links.length) return null
  return (
    <section aria-label="Links" className="column">
      <h3>
        Links <span className="faint">{span.links.length}</span>
      </h3>
      <ul className="column">
        {span.links.map((link, at) => (
          <li key={at}>
            <Link to="/traces/$traceId" params={{ traceId: link.trace_id }} search={{ span: link.span_id }} className="mono">
              {link.trace_id.slice(0, 16)}… / {link.span_id}
            </Link>
            <Attributes title="Attributes of the link" attributes={link.attributes} filter="" />
          </li>
        ))}
      </ul>
    </section>
  )
}
