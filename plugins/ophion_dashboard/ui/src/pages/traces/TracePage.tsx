import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { ApiError } from '@/api/client'
import { Page } from '@/components/Page'
import { Empty, Failure, Skeleton } from '@/components/States'
import { Tabs } from '@/components/Tabs'
import { CriticalTab } from './CriticalTab'
import { FlameTab } from './FlameTab'
import { JsonTab } from './JsonTab'
import type { TraceSearch } from './search'
import { SpanPanel } from './SpanPanel'
import { SpansTab } from './SpansTab'
import { TraceActions, TraceFacts, TraceNotes } from './TraceHead'
import { TraceLogsTab } from './TraceLogsTab'
import { titleOf, useTrace, type Trace } from './useTrace'
import { parseView, writeView, type View } from './view'
import { WaterfallTab } from './WaterfallTab'
import './traces.css'

export default function TracePage() {
  const { traceId } = useParams({ from: '/traces/$traceId' })
  const query = useTrace(traceId)
  const crumbs = <Link to="/traces">Traces</Link>
  if (query.data) return <Shown key={traceId} trace={query.data} crumbs={crumbs} />
  if (query.error instanceof ApiError && query.error.status === 404) return <Missing crumbs={crumbs} traceId={traceId} />
  return (
    <Page title="Trace" crumbs={crumbs}>
      {query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton height={480} />}
    </Page>
  )
}

function Missing({ crumbs, traceId }: { crumbs: React.ReactNode; traceId: string }) {
  return (
    <Page title="Trace" crumbs={crumbs}>
      <Empty title="This trace is not here">
        No span of <code>{traceId}</code> has been received, or it is older than the retention. A trace that has just begun shows up when its first span ends.{' '}
        <Link to="/traces">Search traces</Link>
      </Empty>
    </Page>
  )
}

function Shown({ trace, crumbs }: { trace: Trace; crumbs: React.ReactNode }) {
  const search = useSearch({ from: '/traces/$traceId' })
  const [change, view, setView, whole] = useUrlState(trace, search)
  const title = titleOf(trace)
  const selected = search.span ? (trace.tree.byId.get(search.span) ?? -1) : -1
  const node = trace.tree.nodes[selected]
  const select = useCallback((index: number | undefined) => change({ span: index === undefined ? undefined : trace.tree.nodes[index]?.span.span_id }), [change, trace])
  const close = useCallback(() => {
    select(undefined)
    document.querySelector<HTMLElement>('[role=treegrid]')?.focus()
  }, [select])
  const setFind = useCallback((find: string) => change({ find: find || undefined }), [change])
  const find = search.find ?? ''
  const traceId = trace.view.trace_id
  const tabs = [
    { id: 'waterfall', name: 'Waterfall', content: () => <WaterfallTab {...{ trace, view, whole, setView, selected, select, find, setFind }} /> },
    { id: 'flame', name: 'Flame graph', content: () => <FlameTab trace={trace} select={select} /> },
    { id: 'spans', name: 'Spans', content: () => <SpansTab {...{ trace, select, selected, find, setFind }} /> },
    { id: 'critical', name: 'Critical path', content: () => <CriticalTab trace={trace} select={select} /> },
    { id: 'logs', name: 'Logs', content: () => <TraceLogsTab trace={trace} select={select} /> },
    { id: 'json', name: 'JSON', content: () => <JsonTab traceId={traceId} /> },
  ]
  return (
    <Page title={title.name} crumbs={crumbs} beside={<span className="quiet">{title.service}</span>} actions={<TraceActions traceId={traceId} />}>
      <TraceFacts trace={trace} />
      <TraceNotes trace={trace} />
      {search.span && !node ? <div className="notice warn">The span {search.span} of this link is not in the trace.</div> : null}
      <div className={`traces-split ${node ? 'open' : ''}`}>
        <Tabs label="Views of the trace" tabs={tabs} value={search.tab ?? 'waterfall'} set={(tab) => change({ tab: tab === 'waterfall' ? undefined : (tab as TraceSearch['tab']) })} />
        {node ? <SpanPanel trace={trace} node={node} close={close} /> : null}
      </div>
    </Page>
  )
}

const URL_AFTER_MS = 400

/** The parts of the URL. The view follows the hand at once and the URL when the hand rests. */
function useUrlState(trace: Trace, search: TraceSearch): [(next: TraceSearch) => void, View, (view: View) => void, View] {
  const navigate = useNavigate({ from: '/traces/$traceId' })
  const whole = useMemo(() => ({ start: trace.tree.start, end: trace.tree.end }), [trace])
  const [moving, setMoving] = useState<View>()
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const change = useCallback((next: TraceSearch) => void navigate({ to: '.', search: (before) => ({ ...before, ...next }), replace: true }), [navigate])
  const written = useMemo(() => parseView(search.view, whole), [search.view, whole])
  const setView = useCallback(
    (next: View) => {
      setMoving(next)
      clearTimeout(timer.current)
      timer.current = setTimeout(() => change({ view: writeView(next, whole) }), URL_AFTER_MS)
    },
    [change, whole],
  )
  useEffect(() => () => clearTimeout(timer.current), [])
  return [change, moving ?? written, setView, whole]
}
