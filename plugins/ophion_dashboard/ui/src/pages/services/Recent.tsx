import { Link } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import type { SchemaFrequentError, SchemaLogRecord, SchemaTraceSummary } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { count } from '@/lib/format'
import { clock, DAY } from '@/lib/time'
import { useTime } from '@/shell/time'
import { ms } from './columns'
import { useErrorLogs, useTraces } from './data'

/** Return how a time is written: within a day without its date. */
function useClock(): (time: string) => string {
  const { zone, range } = useTime()
  const [first, last] = range.end - range.start > DAY ? [5, 16] : [11, 19]
  return useCallback((time: string) => clock(Date.parse(time), zone).slice(first, last), [zone, first, last])
}

/** The failures that are most frequent, each with its newest trace; `named` shows whose they are. */
export function FrequentErrors({ errors, named }: { errors: readonly SchemaFrequentError[]; named?: boolean }) {
  const at = useClock()
  const columns: Column<SchemaFrequentError>[] = [
    ...(named ? [{ id: 'service', header: 'Service', cell: (one: SchemaFrequentError) => <Link to="/services/$name" params={{ name: one.service }}>{one.service}</Link>, sort: (one: SchemaFrequentError) => one.service }] : []),
    { id: 'operation', header: 'Operation', sort: (one) => one.operation, cell: (one) => <Link to="/traces" search={{ service: one.service, operation: one.operation, status: 'error' } as never}>{one.operation}</Link> },
    { id: 'message', header: 'Message', sort: (one) => one.message, cell: (one) => <span title={one.message}>{one.message || <span className="faint">no message</span>}</span> },
    { id: 'count', header: 'Times', number: true, sort: (one) => one.count, cell: (one) => count(one.count) },
    { id: 'last', header: 'Last', number: true, sort: (one) => one.last, cell: (one) => <Link to="/traces/$traceId" params={{ traceId: one.trace_id }} aria-label={`Trace of ${one.operation} at ${at(one.last)}`}>{at(one.last)}</Link> },
  ]
  return (
    <Panel title="Frequent errors" flush className="services-errors">
      {errors.length === 0 ? (
        <Empty title="No errors">No span has failed in this time range.</Empty>
      ) : (
        <DataTable label="Frequent errors" columns={columns} rows={errors} rowKey={(one) => `${one.service} ${one.operation} ${one.message}`} initialSort={{ id: 'count', down: true }} maxHeight={320} />
      )}
    </Panel>
  )
}

/** Some traces of a service, and the way to all of them. */
export function TraceList({ title, service, more }: { title: string; service: string; more: { status?: 'error'; sort?: 'longest' } }) {
  const traces = useTraces(service, more)
  const at = useClock()
  const columns: Column<SchemaTraceSummary>[] = [
    {
      id: 'operation', header: 'Trace',
      cell: (one) => <Link to="/traces/$traceId" params={{ traceId: one.trace_id }}>{one.service} {one.operation}</Link>,
    },
    { id: 'duration', header: 'Duration', number: true, cell: (one) => ms(one.duration_ms) },
    { id: 'spans', header: 'Spans', number: true, cell: (one) => count(one.spans) },
    { id: 'time', header: 'Time', number: true, cell: (one) => <span className="faint">{at(one.start)}</span> },
  ]
  return (
    <Panel
      title={title}
      flush
      actions={
        <Link to="/traces" search={{ service, ...more } as never} className="button quiet" aria-label={`All ${title.toLowerCase()}`}>
          All
        </Link>
      }
    >
      <Loaded query={traces} height={200} isEmpty={(all) => all.length === 0} empty={<Empty title={more.status ? 'No trace has failed' : 'No traces'} />}>
        {(all) => <DataTable label={title} columns={columns} rows={all} rowKey={(one) => one.trace_id} />}
      </Loaded>
    </Panel>
  )
}

export function ErrorLogs({ service }: { service: string }) {
  const logs = useErrorLogs(service)
  const at = useClock()
  const columns = useMemo<Column<SchemaLogRecord>[]>(
    () => [
      { id: 'time', header: 'Time', width: 120, cell: (one) => <span className="faint">{at(one.time)}</span> },
      { id: 'level', header: 'Level', width: 70, cell: (one) => one.severity },
      { id: 'body', header: 'Message', cell: (one) => <code title={bodyText(one.body)}>{bodyText(one.body)}</code> },
      { id: 'trace', header: 'Trace', width: 80, cell: (one) => (one.trace_id ? <Link to="/traces/$traceId" params={{ traceId: one.trace_id }} search={{ span: one.span_id || undefined } as never} aria-label={`open the trace of ${bodyText(one.body)}`}>open</Link> : <span className="faint">-</span>) },
    ],
    [at],
  )
  return (
    <Panel
      title="Recent error logs"
      flush
      className="services-logs"
      actions={
        <Link to="/logs" search={{ service: [service], level: 'error' } as never} className="button quiet" aria-label="All error logs">
          All
        </Link>
      }
    >
      <Loaded query={logs} height={160} isEmpty={(all) => all.length === 0} empty={<Empty title="No error logs">No log record of level error or above in this time range.</Empty>}>
        {(all) => <DataTable label="Recent error logs" columns={columns} rows={all} rowKey={(one) => `${one.time} ${one.id}`} />}
      </Loaded>
    </Panel>
  )
}

function bodyText(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body)
}
