import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import type { Mark } from '@/components/chart/Plot'
import { TimeSeries } from '@/components/chart/TimeSeries'
import { Empty, Skeleton } from '@/components/States'
import { formatter } from '@/lib/format'
import { useTime } from '@/shell/time'
import { findExemplars, type TraceMark } from './promql/exemplars'
import type { Outcome } from './promql/run'
import { toLines, withGaps } from './promql/series'
import { showsMeasure } from './promql/units'
import { SeriesTable } from './SeriesTable'
import type { MetricsSearch } from './search'

export interface Drawn {
  letter: string
  expression: string
}

interface Props {
  queries: readonly Drawn[]
  outcomes: readonly Outcome[] | undefined
  search: MetricsSearch
  step: number
  unit: string
}

/** What the queries answered, as a chart or as a table. */
export function Results({ queries, outcomes, search, step, unit }: Props) {
  if (queries.length === 0) {
    return (
      <Empty title="Ask for a metric">
        Choose one from the list, or write PromQL and press Enter. Drag on the chart to zoom; a mark on it opens the trace that was measured.
      </Empty>
    )
  }
  if (!outcomes) return <Skeleton height={360} />
  const isEmpty = outcomes.every((outcome) => outcome.series.length === 0)
  if (isEmpty) {
    const isWrong = outcomes.every((outcome) => outcome.error)
    return isWrong ? (
      <Empty title="Nothing to show">What is wrong stands under the query.</Empty>
    ) : (
      <Empty title="No data in this range">The query is right, and nothing matches it here. A longer range of time or fewer filters may find something.</Empty>
    )
  }
  if (search.view === 'table' || search.instant) return <SeriesTable queries={queries} outcomes={outcomes} unit={unit} instant={Boolean(search.instant)} />
  return <Chart queries={queries} outcomes={outcomes} search={search} step={step} unit={unit} />
}

function Chart({ queries, outcomes, search, step, unit }: Props & { outcomes: readonly Outcome[] }) {
  const navigate = useNavigate()
  const { lines, left } = useMemo(() => {
    const drawn = toLines(queries.map((query, index) => ({ ...query, series: outcomes[index]?.series ?? [] })))
    return { ...drawn, lines: withGaps(drawn.lines, step) }
  }, [queries, outcomes, step])
  const marks = useMarks(queries, Boolean(search.exemplars))
  const openTrace = useCallback(
    (mark: Mark) => void navigate({ to: '/traces/$traceId', params: { traceId: (mark as TraceMark).traceId } } as never),
    [navigate],
  )
  const title = queries.map((query) => query.expression).join('; ')
  return (
    <>
      <TimeSeries title={title} lines={lines} unit={unit} drawn={search.drawn ?? 'line'} stacked={search.stacked} height={360} marks={marks} onMark={openTrace} />
      {left ? <div className="faint small">{left} more series are not drawn: aggregate them, or see the table.</div> : null}
      {search.exemplars ? <Exemplars marks={marks} unit={unit} open={openTrace} /> : null}
    </>
  )
}

const NO_MARKS: TraceMark[] = []

function useMarks(queries: readonly Drawn[], wanted: boolean): readonly TraceMark[] {
  const { range } = useTime()
  const expressions = queries.map((query) => query.expression)
  const found = useQuery({
    queryKey: ['metrics', 'exemplars', expressions, range],
    queryFn: async ({ signal }) => {
      const all = await Promise.all(expressions.map(async (expression) => placed(expression, await findExemplars(expression, range, signal).catch(() => []))))
      return all.flat()
    },
    enabled: wanted && expressions.length > 0,
  })
  return wanted ? (found.data ?? NO_MARKS) : NO_MARKS
}

/** Where the lines show something else than what was measured, such as a rate, marks stand on the axis of time. */
function placed(expression: string, marks: TraceMark[]): TraceMark[] {
  return showsMeasure(expression) ? marks : marks.map((mark) => ({ ...mark, value: 0 }))
}

function Exemplars({ marks, unit, open }: { marks: readonly TraceMark[]; unit: string; open: (mark: Mark) => void }) {
  const format = formatter(unit)
  const largest = marks.slice(0, 8)
  if (largest.length === 0) return <div className="faint small">No measurement of these series names a trace in this range.</div>
  return (
    <div className="row wrap small metrics-exemplars">
      <span className="faint">{marks.length} measurements name a trace:</span>
      {largest.map((mark) => (
        <button key={mark.key} type="button" className="button quiet" onClick={() => open(mark)} title={mark.label}>
          {mark.value ? `${format(mark.value)} · ` : ''}
          trace <code>{mark.traceId.slice(0, 8)}</code>
        </button>
      ))}
    </div>
  )
}
