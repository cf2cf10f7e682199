import { useMemo } from 'react'
import { DataTable, type Column } from '@/components/DataTable'
import { seriesKey, tellingLabels } from '@/pages/metrics/promql/series'
import { useTheme } from '@/shell/theme'
import type { PanelModel } from '../model/types'
import { reduced, thresholdColour, valueFormat } from '../model/values'
import type { SeriesData } from './data'
import type { SeriesProps } from './props'

interface Row {
  key: string
  labels: Readonly<Record<string, string>>
  values: number[]
}

/** Series as rows; each query has a column of its own, and series with the same labels share a row. */
export function TablePanel({ panel, data, size }: SeriesProps) {
  const { dark } = useTheme()
  const rows = useMemo(() => toRows(panel, data), [panel, data])
  const columns = useMemo(() => toColumns(panel, data, dark), [panel, data, dark])
  return <DataTable label={`Values of ${panel.title || 'the panel'}`} columns={columns} rows={rows} rowKey={(row) => row.key} maxHeight={size.height} />
}

export function toRows(panel: PanelModel, data: SeriesData): Row[] {
  const rows = new Map<string, Row>()
  data.outcomes.forEach((outcome, index) => {
    for (const series of outcome.series) {
      const labels = Object.fromEntries(Object.entries(series.labels).filter(([name]) => name !== '__name__'))
      const key = seriesKey(labels)
      const row = rows.get(key) ?? { key, labels, values: data.outcomes.map(() => Number.NaN) }
      row.values[index] = reduced(series, panel.options.reduce)
      rows.set(key, row)
    }
  })
  return [...rows.values()].slice(0, panel.options.limit)
}

function toColumns(panel: PanelModel, data: SeriesData, dark: boolean): Column<Row>[] {
  const format = valueFormat(panel.options)
  const all = data.outcomes.flatMap((outcome) => outcome.series)
  const telling = tellingLabels(all)
  return [
    ...telling.map<Column<Row>>((name) => ({ id: name, header: name, cell: (row) => row.labels[name] ?? '', sort: (row) => row.labels[name] ?? '' })),
    ...panel.queries.map<Column<Row>>((query, index) => ({
      id: `#${index}`,
      header: query.legend.replace(/\{\{[^}]*\}\}/g, '').trim() || (panel.queries.length > 1 ? String.fromCharCode(65 + index) : 'Value'),
      number: true,
      sort: (row) => row.values[index] ?? Number.NaN,
      cell: (row) => {
        const value = row.values[index] ?? Number.NaN
        const color = thresholdColour(value, panel.options.thresholds, dark)
        return <span style={{ color }}>{Number.isNaN(value) ? '' : format(value)}</span>
      },
    })),
  ]
}
