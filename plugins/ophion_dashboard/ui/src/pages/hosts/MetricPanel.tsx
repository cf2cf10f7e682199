import { Link } from '@tanstack/react-router'
import { ChartLine } from 'lucide-react'
import { useMemo } from 'react'
import { TimeSeries } from '@/components/chart/TimeSeries'
import type { Drawn, Line } from '@/components/chart/data'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import type { Query } from './promql'
import { usePromql } from './usePromql'

export interface Metrics {
  title: string
  queries: (step: number) => readonly Query[]
  unit: string
  format?: (value: number) => string
  drawn?: Drawn
  stacked?: boolean
  min?: number
  max?: number
  /** What is missing when there is nothing to draw, and why. */
  empty: string
  /** Changes the lines of a query before they are drawn. */
  change?: (lines: Line[]) => Line[]
}

const HEIGHT = 168

/** One chart of PromQL; `at` (Unix milliseconds) is marked in it. */
export function MetricPanel({ metrics, at, className }: { metrics: Metrics; at?: number; className?: string }) {
  const { title, queries, unit, empty, change, ...look } = metrics
  const found = usePromql([title], queries)
  const data = found.data
  const lines = useMemo(() => (data && change ? change(data) : (data ?? [])), [data, change])
  const texts = queries(60).map((one) => one.query)
  return (
    <Panel
      title={title}
      className={className}
      actions={
        <Link to="/metrics" search={{ q: texts } as never} className="button icon quiet" aria-label={`Open ${title} in the metrics explorer`} title="Open in the metrics explorer">
          <ChartLine size={14} aria-hidden />
        </Link>
      }
    >
      <Loaded query={found} height={HEIGHT + 26} isEmpty={(all) => all.length === 0} empty={<Empty title="No data">{empty}</Empty>}>
        {() => <TimeSeries title={title} lines={lines} unit={unit} height={HEIGHT} moment={at === undefined ? undefined : at / 1000} {...look} />}
      </Loaded>
    </Panel>
  )
}
