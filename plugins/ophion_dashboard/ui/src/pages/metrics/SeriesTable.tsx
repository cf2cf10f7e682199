import { useMemo } from 'react'
import { DataTable, type Column } from '@/components/DataTable'
import { formatter } from '@/lib/format'
import type { Outcome } from './promql/run'
import { numeric, seriesKey, tellingLabels, type Series } from './promql/series'
import type { Drawn } from './Results'

interface Row {
  key: string
  letter: string
  series: Series
  last: number
  low: number
  high: number
  mean: number
}

interface Props {
  queries: readonly Drawn[]
  outcomes: readonly Outcome[]
  unit: string
  instant: boolean
}

const MOST_LABELS = 10

/** Series with their labels and values; exact values stand in the cells' titles. */
export function SeriesTable({ queries, outcomes, unit, instant }: Props) {
  const rows = useMemo(() => toRows(queries, outcomes), [queries, outcomes])
  const columns = useMemo(() => toColumns(rows, formatter(unit), queries.length > 1, instant), [rows, unit, queries.length, instant])
  return <DataTable label="Series" columns={columns} rows={rows} rowKey={(row) => row.key} maxHeight={520} />
}

function toRows(queries: readonly Drawn[], outcomes: readonly Outcome[]): Row[] {
  return outcomes.flatMap((outcome, index) =>
    outcome.series.map((series) => {
      const letter = queries[index]?.letter ?? ''
      return { key: `${letter}:${seriesKey(series.labels)}`, letter, series, ...figures(series) }
    }),
  )
}

function figures(series: Series): Pick<Row, 'last' | 'low' | 'high' | 'mean'> {
  const values = series.points.map(([, value]) => numeric(value)).filter((value) => !Number.isNaN(value))
  const sum = values.reduce((total, value) => total + value, 0)
  const low = values.reduce((least, value) => Math.min(least, value), Infinity)
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity)
  return values.length
    ? { last: numeric(series.points.at(-1)?.[1]), low, high, mean: sum / values.length }
    : { last: Number.NaN, low: Number.NaN, high: Number.NaN, mean: Number.NaN }
}

function toColumns(rows: readonly Row[], format: (value: number) => string, isMany: boolean, instant: boolean): Column<Row>[] {
  const labels = tellingLabels(rows.map((row) => row.series)).slice(0, MOST_LABELS)
  const named = rows.some((row) => row.series.labels.__name__)
  const value = (id: 'last' | 'low' | 'high' | 'mean', header: string): Column<Row> => ({
    id,
    header,
    number: true,
    sort: (row) => row[id],
    cell: (row) => <span title={String(row[id])}>{format(row[id])}</span>,
  })
  return [
    ...(isMany ? [{ id: 'letter', header: 'Query', cell: (row: Row) => row.letter, sort: (row: Row) => row.letter }] : []),
    ...(named ? [label('__name__', 'Metric')] : []),
    ...labels.map((name) => label(name, name)),
    value('last', instant ? 'Value' : 'Last'),
    ...(instant ? [] : [value('low', 'Min'), value('mean', 'Mean'), value('high', 'Max')]),
  ]
}

function label(name: string, header: string): Column<Row> {
  return { id: name, header, cell: (row) => row.series.labels[name] ?? '', sort: (row) => row.series.labels[name] ?? '' }
}
