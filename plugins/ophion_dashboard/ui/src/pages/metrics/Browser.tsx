import { useInfiniteQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { answer, api, type SchemaMetric } from '@/api/client'
import { Button } from '@/components/Button'
import { SearchField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { Empty, Failure, Skeleton } from '@/components/States'
import { useTime } from '@/shell/time'
import { grouped, kindAndUnit, type MetricGroup } from './groups'

const PAGE = 300

/** The metrics that there are, in groups by the first word of their names; a click adds one to the queries. */
export function Browser({ insert }: { insert: (metric: SchemaMetric) => void }) {
  const [search, setSearch] = useState('')
  const { from, to } = useTime()
  const found = useInfiniteQuery({
    queryKey: ['metrics', 'names', search, from, to],
    queryFn: ({ pageParam, signal }) =>
      answer(api.GET('/api/metrics', { params: { query: { from, to, search: search || undefined, limit: PAGE, cursor: pageParam } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: 60_000,
  })
  const groups = useMemo(() => grouped(found.data?.pages.flatMap((page) => page.metrics) ?? []), [found.data])
  return (
    <Panel title="Metrics" className="metrics-browser">
      <SearchField main label="Search metrics" value={search} set={setSearch} />
      <div className="metrics-names">
        {found.error && !found.data ? <Failure error={found.error} retry={() => void found.refetch()} /> : null}
        {found.isPending ? <Skeleton height={240} /> : null}
        {found.data && groups.length === 0 ? (
          <Empty title={search ? 'No metric is named like this' : 'No metrics in this range'}>
            {search ? 'Try fewer letters, or a longer range of time.' : 'Agents and SDKs send them to port 4317. A longer range of time may have some.'}
          </Empty>
        ) : null}
        {groups.map((group) => (
          <Group key={group.name} group={group} open={search !== '' || groups.length < 4} insert={insert} />
        ))}
        {found.hasNextPage ? <Button onPress={() => void found.fetchNextPage()}>More</Button> : null}
      </div>
    </Panel>
  )
}

function Group({ group, open, insert }: { group: MetricGroup; open: boolean; insert: (metric: SchemaMetric) => void }) {
  const [wanted, setWanted] = useState<boolean | undefined>()
  const isOpen = wanted ?? open
  return (
    <details open={isOpen}>
      <summary
        onClick={(event) => {
          event.preventDefault()
          setWanted(!isOpen)
        }}
      >
        {group.name} <span className="faint">{group.metrics.length}</span>
      </summary>
      {isOpen ? (
        <ul>
          {group.metrics.map((metric) => (
            <li key={metric.name}>
              <button type="button" onClick={() => insert(metric)} title={[metric.name, metric.help].filter(Boolean).join('\n')}>
                <span className="ellipsis">{metric.name}</span> <span className="faint small">{kindAndUnit(metric)}</span>
              </button>
            </li>
          ))}
        </ul>
      ) : null}
    </details>
  )
}
