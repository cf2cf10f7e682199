import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { answer, api, type SchemaLogPage } from '@/api/client'
import { Badge, type Tone } from '@/components/Badge'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { SearchField } from '@/components/Field'
import { Empty, Failure, Skeleton } from '@/components/States'
import { duration } from '@/lib/format'
import { shown } from './find'
import { around } from './links'
import type { Trace } from './useTrace'

type Log = SchemaLogPage['logs'][number]

const TONES: Partial<Record<Log['severity'], Tone>> = { error: 'bad', fatal: 'bad', warn: 'warn', info: 'info' }

interface Props {
  trace: Trace
  select: (index: number | undefined) => void
}

/** The log records that name this trace, in order of time. */
export function TraceLogsTab({ trace, select }: Props) {
  const [query, setQuery] = useState('')
  const traceId = trace.view.trace_id
  const pages = useInfiniteQuery({
    queryKey: ['traces', 'logs', traceId, query],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      answer(api.GET('/api/traces/{traceId}/logs', { params: { path: { traceId }, query: { query, limit: 500, cursor: pageParam } }, signal })),
    getNextPageParam: (page: SchemaLogPage) => page.next_cursor ?? undefined,
  })
  const logs = useMemo(() => pages.data?.pages.flatMap((page) => page.logs) ?? [], [pages.data])
  const columns = useMemo<Column<Log>[]>(
    () => [
      { id: 'time', header: 'Time', number: true, cell: (log) => `+${duration((Date.parse(log.time) - trace.startMs) * 1e6)}`, sort: (log) => log.time },
      { id: 'level', header: 'Level', cell: (log) => <Badge tone={TONES[log.severity]}>{log.severity}</Badge>, sort: (log) => log.severity_number },
      { id: 'service', header: 'Service', cell: (log) => log.service, sort: (log) => log.service },
      { id: 'body', header: 'Message', cell: (log) => <code title={shown(log.body)}>{shown(log.body)}</code> },
      { id: 'span', header: 'Span', cell: (log) => trace.tree.nodes[trace.tree.byId.get(log.span_id) ?? -1]?.span.name ?? '' },
    ],
    [trace],
  )
  const open = (log: Log) => select(trace.tree.byId.get(log.span_id))
  return (
    <div className="column">
      <div className="row wrap">
        <SearchField main label="Search the logs of this trace" value={query} set={setQuery} />
        <Link to="/logs" search={{ trace: traceId, q: query || undefined, ...around(trace.startMs, trace.startMs + trace.tree.end, 300_000, 3_600_000) }} className="button">
          Open in the log explorer
        </Link>
      </div>
      {pages.error ? <Failure error={pages.error} retry={() => void pages.refetch()} /> : null}
      {pages.data === undefined ? (
        pages.error ? null : <Skeleton height={240} />
      ) : logs.length ? (
        <Panel flush>
          <DataTable label="Logs of the trace" columns={columns} rows={logs} rowKey={(log) => `${log.time} ${log.id}`} open={open} maxHeight="max(300px, calc(100dvh - 360px))" />
        </Panel>
      ) : (
        <Empty title={query ? 'No log record of this trace matches' : 'No log record names this trace'}>
          {query ? 'Search for less.' : 'Log records belong to a trace when their sender writes its trace id, as OpenTelemetry SDKs do for logs written inside a span.'}
        </Empty>
      )}
      {pages.hasNextPage ? (
        <Button isDisabled={pages.isFetchingNextPage} onPress={() => void pages.fetchNextPage()}>
          More records
        </Button>
      ) : null}
    </div>
  )
}
