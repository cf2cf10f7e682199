import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { SchemaTraceSummary } from '@/api/client'
import { Badge, Dot } from '@/components/Badge'
import { DataTable, type Column } from '@/components/DataTable'
import { nameColor } from '@/lib/colors'
import { count, duration } from '@/lib/format'
import { clock, type Zone } from '@/lib/time'
import { useTheme } from '@/shell/theme'

interface Props {
  traces: readonly SchemaTraceSummary[]
  zone: Zone
  open: (traceId: string) => void
  picked: readonly string[]
  pick: (traceId: string) => void
}

const MOST_SERVICES = 3

/** The traces found, to be opened or chosen for a comparison. */
export function TraceTable({ traces, zone, open, picked, pick }: Props) {
  const { dark } = useTheme()
  const longest = useMemo(() => traces.reduce((most, trace) => Math.max(most, trace.duration_ms), 0), [traces])
  const columns = useMemo<Column<SchemaTraceSummary>[]>(
    () => [
      {
        id: 'pick',
        header: 'Compare',
        width: 60,
        cell: (trace) => (
          <input type="checkbox" aria-label={`Compare ${trace.operation}, ${trace.trace_id.slice(0, 8)}`} checked={picked.includes(trace.trace_id)} onChange={() => pick(trace.trace_id)} />
        ),
      },
      { id: 'start', header: 'Start', width: 150, cell: (trace) => <span title={clock(Date.parse(trace.start), zone, 3)}>{clock(Date.parse(trace.start), zone, 3).slice(5)}</span>, sort: (trace) => trace.start },
      {
        id: 'root',
        header: 'Trace',
        cell: (trace) => (
          <span className="row">
            <Dot color={nameColor(trace.service, dark)} />
            <Link to="/traces/$traceId" params={{ traceId: trace.trace_id }} className="ellipsis" title={trace.trace_id}>
              <b>{trace.service || 'no service'}</b> {trace.operation}
            </Link>
            {trace.has_root ? null : <Badge tone="warn">no root</Badge>}
          </span>
        ),
        sort: (trace) => `${trace.service} ${trace.operation}`,
      },
      {
        id: 'duration',
        header: 'Duration',
        width: 180,
        cell: (trace) => (
          <span className="row">
            <span className="traces-length" aria-hidden>
              <span style={{ width: `${longest ? Math.max(1, (trace.duration_ms / longest) * 100) : 0}%` }} />
            </span>
            <span className="traces-figure">{duration(trace.duration_ms * 1e6)}</span>
          </span>
        ),
        sort: (trace) => trace.duration_ms,
      },
      { id: 'spans', header: 'Spans', number: true, cell: (trace) => count(trace.spans), sort: (trace) => trace.spans },
      { id: 'errors', header: 'Errors', number: true, cell: (trace) => (trace.errors ? <Badge tone="bad">{count(trace.errors)}</Badge> : ''), sort: (trace) => trace.errors },
      { id: 'services', header: 'Services', cell: (trace) => <Services trace={trace} dark={dark} />, sort: (trace) => trace.services.length },
    ],
    [dark, longest, picked, pick, zone],
  )
  return <DataTable label="Traces" columns={columns} rows={traces} rowKey={(trace) => trace.trace_id} open={(trace) => open(trace.trace_id)} />
}

function Services({ trace, dark }: { trace: SchemaTraceSummary; dark: boolean }) {
  const more = trace.services.length - MOST_SERVICES
  return (
    <span className="row small">
      {trace.services.slice(0, MOST_SERVICES).map((service) => (
        <span key={service.name} className="row traces-service" title={`${service.name}: ${service.spans} spans, ${service.errors} failed`}>
          <Dot color={nameColor(service.name, dark)} /> {service.name}
        </span>
      ))}
      {more > 0 ? <span className="faint">+{more}</span> : null}
    </span>
  )
}
