import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { Badge, Dot, type Tone } from '@/components/Badge'
import { DataTable, type Column } from '@/components/DataTable'
import { nameColor } from '@/lib/colors'
import { duration } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import type { SchemaLogRecord, SchemaTraceSummary } from '@/api/client'
import type { PanelModel } from '../model/types'
import type { LogsData, TracesData } from './data'
import type { Size } from './usePanel'

const TONES: Partial<Record<SchemaLogRecord['severity'], Tone>> = { fatal: 'bad', error: 'bad', warn: 'warn', info: 'info' }

function bodyText(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body)
}

/** Log lines, newest first; those of a trace lead to it. */
export function LogsPanel({ panel, data, size }: { panel: PanelModel; data: LogsData; size: Size }) {
  const { zone } = useTime()
  return (
    <div className="dash-logs" style={{ height: size.height }} tabIndex={0} role="region" aria-label={`Lines of ${panel.title || 'the panel'}`}>
      <ul>
        {data.logs.map((log, index) => (
          <li key={`${log.id}${index}`}>
            <span className="faint">{clock(Date.parse(log.time), zone, 3).slice(5)}</span>
            <Badge tone={TONES[log.severity] ?? 'plain'} sign={false}>
              {log.severity === 'unspecified' ? 'log' : log.severity}
            </Badge>
            <span className="quiet">{log.service}</span>
            <span className="dash-log-body">{bodyText(log.body)}</span>
            {log.trace_id ? (
              <Link to={'/traces/$traceId' as never} params={{ traceId: log.trace_id } as never} className="small">
                trace
              </Link>
            ) : null}
          </li>
        ))}
      </ul>
    </div>
  )
}

/** Traces that a search found. */
export function TracesPanel({ panel, data, size }: { panel: PanelModel; data: TracesData; size: Size }) {
  const { dark } = useTheme()
  const { zone } = useTime()
  const columns = useMemo<Column<SchemaTraceSummary>[]>(
    () => [
      {
        id: 'operation',
        header: 'Trace',
        sort: (row) => row.operation,
        cell: (row) => (
          <Link to={'/traces/$traceId' as never} params={{ traceId: row.trace_id } as never}>
            {row.operation}
          </Link>
        ),
      },
      {
        id: 'service',
        header: 'Service',
        sort: (row) => row.service,
        cell: (row) => (
          <span className="row">
            <Dot color={nameColor(row.service, dark)} />
            {row.service}
          </span>
        ),
      },
      { id: 'start', header: 'Start', sort: (row) => row.start, cell: (row) => clock(Date.parse(row.start), zone) },
      { id: 'duration', header: 'Duration', number: true, sort: (row) => row.duration_ms, cell: (row) => duration(row.duration_ms * 1e6) },
      { id: 'spans', header: 'Spans', number: true, sort: (row) => row.spans, cell: (row) => row.spans },
      { id: 'errors', header: 'Errors', number: true, sort: (row) => row.errors, cell: (row) => (row.errors ? <Badge tone="bad">{row.errors}</Badge> : '') },
    ],
    [dark, zone],
  )
  return <DataTable label={`Traces of ${panel.title || 'the panel'}`} columns={columns} rows={data.traces} rowKey={(row) => row.trace_id} maxHeight={size.height} />
}
