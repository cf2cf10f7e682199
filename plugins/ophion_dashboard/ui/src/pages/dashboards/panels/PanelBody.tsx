import { lazy, Suspense, useMemo, useRef } from 'react'
import { Empty, Failure, Skeleton } from '@/components/States'
import type { Range } from '@/lib/time'
import type { PanelModel } from '../model/types'
import { fillText, type Values } from '../model/variables'
import { BarPanel } from './BarPanel'
import { errorsOf, type PanelData, type SeriesData } from './data'
import { GaugePanel } from './GaugePanel'
import { HeatmapPanel } from './HeatmapPanel'
import { LogsPanel, TracesPanel } from './ListPanels'
import { StatPanel } from './StatPanel'
import { TablePanel } from './TablePanel'
import { TimeSeriesPanel } from './TimeSeriesPanel'
import { usePanel, useSize, useVisible, type Size } from './usePanel'

const Markdown = lazy(() => import('@/components/Markdown'))

interface Props {
  panel: PanelModel
  values: Values
  range: Range
  /** The data of a snapshot: nothing is asked. */
  frozen?: PanelData
}

const DRAWN = { timeseries: TimeSeriesPanel, stat: StatPanel, gauge: GaugePanel, bar: BarPanel, table: TablePanel, heatmap: HeatmapPanel } as const

/** What a panel shows: its data, what went wrong, or that there is none. */
export function PanelBody({ panel: asSaved, values, range, frozen }: Props) {
  const panel = useMemo(() => ({ ...asSaved, title: fillText(asSaved.title, values) }), [asSaved, values])
  const place = useRef<HTMLDivElement>(null)
  const size = useSize(place)
  const visible = useVisible(place)
  const query = usePanel(panel, values, range, visible, frozen)
  return (
    <div ref={place} className={`dash-body ${panel.kind}`} aria-busy={query.isFetching}>
      {panel.kind === 'text' ? (
        <div className="dash-text" tabIndex={0} role="region" aria-label={`Text of ${panel.title || 'the panel'}`}>
          <Suspense fallback={<Skeleton height="100%" />}>
            <Markdown text={fillText(panel.text, values)} />
          </Suspense>
        </div>
      ) : (
        <Answer panel={panel} data={query.data} error={query.error} retry={() => void query.refetch()} size={size} range={range} hasQuestion={query.hasQuestion || Boolean(frozen)} />
      )}
    </div>
  )
}

interface AnswerProps {
  panel: PanelModel
  data: PanelData | undefined
  error: Error | null
  retry: () => void
  size: Size
  range: Range
  hasQuestion: boolean
}

function Answer({ panel, data, error, retry, size, range, hasQuestion }: AnswerProps) {
  if (!hasQuestion) return <Empty title="This panel asks nothing yet" />
  if (error && !data) return <Failure error={error} retry={retry} />
  if (!data || size.height === 0) return <Skeleton height="100%" />
  const wrong = errorsOf(data)
  if (isEmpty(data)) return wrong[0] ? <Failure error={wrong[0]} /> : <Empty title="No data in this range" />
  if (data.kind === 'logs') return <LogsPanel panel={panel} data={data} size={size} />
  if (data.kind === 'traces') return <TracesPanel panel={panel} data={data} size={size} />
  return (
    <>
      {wrong[0] ? <Failure error={wrong[0]} /> : null}
      <Drawn panel={panel} data={data} size={size} range={range} />
    </>
  )
}

function Drawn({ panel, ...rest }: { panel: PanelModel; data: SeriesData; size: Size; range: Range }) {
  const Shown = DRAWN[panel.kind as keyof typeof DRAWN] ?? TimeSeriesPanel
  return <Shown panel={panel} {...rest} />
}

function isEmpty(data: PanelData): boolean {
  if (data.kind === 'logs') return data.logs.length === 0
  if (data.kind === 'traces') return data.traces.length === 0
  return data.outcomes.every((outcome) => outcome.series.length === 0)
}
