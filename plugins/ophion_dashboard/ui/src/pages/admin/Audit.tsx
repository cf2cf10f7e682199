import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { answer, api, type SchemaAuditEntry, type SchemaAuditPage } from '@/api/client'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { SearchField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { Empty, Failure, Skeleton } from '@/components/States'
import { clock, isRelative } from '@/lib/time'
import { useTime } from '@/shell/time'

const route = getRouteApi('/admin')

/** Who changed what, when, from where; newest first. */
export function Audit() {
  const { who, action, target } = route.useSearch()
  const navigate = route.useNavigate()
  const { range, to, zone } = useTime()
  const set = (key: 'who' | 'action' | 'target') => (value: string) =>
    void navigate({ search: (before) => ({ ...before, [key]: value || undefined }), replace: true })
  const query = useInfiniteQuery({
    queryKey: ['audit', who, action, target, range, to],
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: SchemaAuditPage) => page.next_cursor ?? undefined,
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET('/api/audit', {
          params: {
            query: {
              principal: who,
              action,
              target,
              since: new Date(range.start).toISOString(),
              // What is done while one looks belongs to a range that ends now.
              until: isRelative(to) ? undefined : new Date(range.end).toISOString(),
              limit: 200,
              cursor: pageParam,
            },
          },
          signal,
        }),
      ),
  })
  const rows = query.data?.pages.flatMap((page) => page.records)
  const columns: Column<SchemaAuditEntry>[] = [
    { id: 'at', header: 'Time', cell: (entry) => clock(Date.parse(entry.at), zone) },
    { id: 'who', header: 'Who', cell: (entry) => entry.principal },
    { id: 'action', header: 'Action', cell: (entry) => <code>{entry.action}</code> },
    { id: 'target', header: 'What', cell: (entry) => entry.target },
    { id: 'detail', header: 'Detail', cell: (entry) => <AuditDetail detail={entry.detail} /> },
    { id: 'client', header: 'From', cell: (entry) => entry.client },
  ]
  return (
    <div className="column">
      <div className="row wrap">
        <SearchField main label="Who" value={who ?? ''} set={set('who')} />
        <SearchField label="Action, such as user.create" value={action ?? ''} set={set('action')} />
        <SearchField label="What was changed" value={target ?? ''} set={set('target')} />
      </div>
      <Panel flush title="Changes">
        {query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : null}
        {query.isPending ? <Skeleton height={300} /> : null}
        {rows?.length === 0 ? <Empty title="No changes">Look at a longer time range, or take a filter off.</Empty> : null}
        {rows?.length ? <DataTable label="Audit log" columns={columns} rows={rows} rowKey={(entry) => String(entry.id)} /> : null}
      </Panel>
      {query.hasNextPage ? (
        <Button onPress={() => void query.fetchNextPage()} isDisabled={query.isFetchingNextPage}>
          Older changes
        </Button>
      ) : null}
    </div>
  )
}

function AuditDetail({ detail }: { detail: Record<string, unknown> }) {
  const text = Object.entries(detail).map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return <span title={text.join('\n')}>{text.join(', ')}</span>
}
