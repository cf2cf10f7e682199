import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Download, GitCompareArrows, X } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import { Button as AriaButton } from 'react-aria-components'
import { TimeSeries } from '@/components/chart/TimeSeries'
import { Button } from '@/components/Button'
import { Segments } from '@/components/Choice'
import { Menu } from '@/components/Menu'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Failure, Loaded, Skeleton } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { seriesColor } from '@/lib/colors'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { FacetPanel } from './FacetPanel'
import { FilterField } from './FilterField'
import { apiQuery, chipsOf, curlOf, withoutFilters, writeDuration, type Filters } from './filters'
import { NoTraces } from './NoTraces'
import type { Chosen } from './scatterScale'
import { Scatter } from './Scatter'
import type { TracesSearch } from './search'
import { TraceTable } from './TraceTable'
import { useFacets, useFilters, useHistogram, usePoints, useTraceList } from './useTraces'
import './traces.css'

export default function TracesPage() {
  const search = useSearch({ from: '/traces' })
  const navigate = useNavigate({ from: '/traces' })
  const { range, zone } = useTime()
  const filters = useFilters(search)
  const sort = search.sort ?? 'newest'
  const { query, traces } = useTraceList(filters, range, sort)
  const facets = useFacets(filters, range)
  const points = usePoints(filters, range)
  const change = useCallback((next: Partial<TracesSearch>) => void navigate({ to: '.', search: (before) => ({ ...before, ...next }) }), [navigate])
  const open = useCallback((traceId: string) => void navigate({ to: '/traces/$traceId', params: { traceId } }), [navigate])
  const choose = useCallback(
    ({ range: { start, end }, least, most }: Chosen) =>
      void navigate({
        to: '.',
        search: (before) => ({ ...before, from: String(start), to: String(end), min_duration: writeDuration(least), max_duration: writeDuration(most) }),
      }),
    [navigate],
  )
  const picked = useMemo(() => search.pick ?? [], [search.pick])
  const pick = useCallback((id: string) => change({ pick: picked.includes(id) ? picked.filter((one) => one !== id) : [...picked, id].slice(-2) }), [change, picked])
  const add = useCallback((condition: string) => change({ attr: [...new Set([...(search.attr ?? []), condition])] }), [change, search.attr])
  return (
    <Page title="Traces" actions={<Actions filters={filters} picked={picked} />}>
      <div className="column traces-top">
        <FilterField service={search.service?.length === 1 ? search.service[0] : undefined} add={add} />
        <Chips search={search} change={change} />
      </div>
      <div className="traces-page">
        <FacetPanel facets={facets.data} search={search} change={change} />
        <div className="column traces-main">
          <div className="grid" style={{ '--least': '420px' } as React.CSSProperties}>
            <Panel title="Spans over time">
              <SpansOverTime filters={filters} />
            </Panel>
            <Panel title="Duration of traces">
              <Loaded query={points} height={210}>
                {(found) => <Scatter found={found} range={range} zone={zone} choose={choose} open={open} />}
              </Loaded>
            </Panel>
          </div>
          <Panel
            flush
            title="Traces"
            actions={<Segments label="Order of traces" value={sort} set={(next) => change({ sort: next === 'newest' ? undefined : next })} choices={[['newest', 'Newest'], ['longest', 'Longest']]} />}
          >
            {query.data === undefined ? (
              query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton height={400} />
            ) : traces.length ? (
              <TraceTable traces={traces} zone={zone} open={open} picked={picked} pick={pick} />
            ) : (
              <NoTraces filtered={Object.keys(filters).length > 0} clear={() => void navigate({ to: '.', search: withoutFilters })} />
            )}
            {query.hasNextPage ? (
              <div className="traces-load">
                <Button isDisabled={query.isFetchingNextPage} onPress={() => void query.fetchNextPage()}>
                  {query.isFetchingNextPage ? 'Loading…' : 'Load more traces'}
                </Button>
              </div>
            ) : null}
          </Panel>
        </div>
      </div>
    </Page>
  )
}

function SpansOverTime({ filters }: { filters: Filters }) {
  const { range } = useTime()
  const { dark } = useTheme()
  const query = useHistogram(filters, range)
  const lines = useMemo(() => {
    const buckets = query.data?.buckets ?? []
    const at = (time: string) => Date.parse(time) / 1000
    return [
      { key: 'fine', name: 'fine', color: dark ? '#2cc2b1' : '#0b7a70', points: buckets.map((one) => [at(one.time), one.spans - one.errors] as const) },
      { key: 'failed', name: 'failed', color: dark ? '#ff8b80' : seriesColor(1, false), points: buckets.map((one) => [at(one.time), one.errors] as const) },
    ]
  }, [query.data, dark])
  return (
    <Loaded query={query} height={210}>
      {() => <TimeSeries title="Spans over time" lines={lines} drawn="bars" stacked height={184} />}
    </Loaded>
  )
}

function Chips({ search, change }: { search: TracesSearch; change: (next: Partial<TracesSearch>) => void }) {
  const chips = chipsOf(search)
  if (!chips.length) return null
  return (
    <ul className="row wrap" aria-label="Active filters">
      {chips.map((chip) => (
        <li key={chip.key}>
          <AriaButton className="button traces-chip" aria-label={`Remove the filter ${chip.text}`} onPress={() => change(chip.remove)}>
            <span className="ellipsis">{chip.text}</span> <X size={13} aria-hidden />
          </AriaButton>
        </li>
      ))}
      <li>
        <Button kind="quiet" onPress={() => change(withoutFilters({}))}>
          Clear all
        </Button>
      </li>
    </ul>
  )
}

function Actions({ filters, picked }: { filters: Filters; picked: readonly string[] }) {
  const { range } = useTime()
  const say = useSay()
  const path = (more: Record<string, string>) => `/api/traces?${apiQuery(filters, range, more)}`
  const copy = (text: string, what: string) => void navigator.clipboard.writeText(text).then(() => say.done(`${what} copied`), say.failed)
  const actions = [
    { id: 'csv', name: 'Export as CSV', run: () => download(path({ format: 'csv' })) },
    { id: 'ndjson', name: 'Export as NDJSON', run: () => download(path({ format: 'ndjson' })) },
    { id: 'curl', name: 'Copy as curl', run: () => copy(curlOf(`${location.origin}${path({})}`), 'Command') },
    { id: 'link', name: 'Copy link', run: () => copy(location.href, 'Link') },
  ]
  const [a, b] = picked
  return (
    <>
      {a && b ? (
        <Link to="/traces/compare" search={{ a, b }} className="button primary">
          <GitCompareArrows size={14} aria-hidden /> Compare 2 traces
        </Link>
      ) : a ? (
        <span className="small quiet">Choose one more trace to compare</span>
      ) : null}
      <Menu label="Export and share" actions={actions}>
        <AriaButton className="button">
          <Download size={14} aria-hidden /> Export
        </AriaButton>
      </Menu>
    </>
  )
}

function download(path: string): void {
  const link = document.createElement('a')
  link.href = path
  link.download = ''
  link.click()
}
