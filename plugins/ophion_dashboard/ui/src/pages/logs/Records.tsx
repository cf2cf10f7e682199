import { useMemo } from 'react'
import { Empty, Failure, Skeleton } from '@/components/States'
import type { Range } from '@/lib/time'
import { LogDetail } from './LogDetail'
import { LogList } from './LogList'
import type { SetSearch } from './LogsPage'
import { Patterns } from './Patterns'
import type { Filters } from './query'
import { entryKey } from './records'
import type { LogsSearch } from './search'
import { useLogs } from './useLogs'

export interface ListProps {
  filters: Filters
  search: LogsSearch
  set: SetSearch
  /** Add a term to the query. */
  narrow: (term: string, without?: boolean) => void
}

/** The records of the range, with the details of one beside them. */
export function Records({ range, filters, search, set, narrow }: ListProps & { range: Range }) {
  const logs = useLogs(range, filters, search.order ?? 'newest', true)
  const { entries, hasNextPage, isFetchingNextPage, fetchNextPage } = logs
  const open = useMemo(() => entries.find((entry) => entryKey(entry) === search.record), [entries, search.record])
  if (logs.error) return <Failure error={logs.error} retry={() => void logs.refetch()} />
  if (logs.isPending) return <Skeleton height={420} />
  if (entries.length === 0) return <NoRecords filtered={Boolean(filters.query || filters.severity_min || filters.trace_id)} />
  if (search.view === 'patterns') return <Patterns entries={entries} complete={!hasNextPage} choose={(q) => set({ q, view: undefined })} />
  return (
    <div className={`logs-lines ${open ? 'with-detail' : ''}`}>
      <LogList
        label="Log records"
        entries={entries}
        wrap={Boolean(search.wrap)}
        selected={search.record}
        select={(record) => set({ record })}
        reachedEnd={() => {
          if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
        }}
        loading={isFetchingNextPage}
      />
      {open ? <LogDetail entry={open} close={() => set({ record: undefined })} narrow={narrow} /> : null}
    </div>
  )
}

function NoRecords({ filtered }: { filtered: boolean }) {
  return filtered ? (
    <Empty title="No record matches">Take a filter off, look at a longer time range, or check the words: all of them must be in a record.</Empty>
  ) : (
    <Empty title="No logs in this time range">
      Send them by OTLP to <code>localhost:4317</code> (gRPC) or <code>localhost:4318</code> (HTTP), or follow containers with the <code>docker_logs</code>{' '}
      receiver.
    </Empty>
  )
}
