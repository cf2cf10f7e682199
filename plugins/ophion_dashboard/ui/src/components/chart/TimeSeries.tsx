import { Table2, LineChart } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { Line, Drawn } from './data'
import { describe } from './data'
import { IconButton } from '../Button'
import { Legend } from './Legend'
import { Plot, type Mark } from './Plot'
import { PointsTable } from './PointsTable'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { seriesColor } from '@/lib/colors'
import { formatter, isBinary } from '@/lib/format'
import './chart.css'

export interface TimeSeriesProps {
  /** Says what is shown; read out with the latest values. */
  title: string
  lines: readonly Line[]
  unit?: string
  format?: (value: number) => string
  drawn?: Drawn
  stacked?: boolean
  height?: number
  min?: number
  max?: number
  legend?: boolean
  /** Horizontal lines, and points that can be clicked, such as exemplars. */
  thresholds?: readonly { value: number; color: string }[]
  marks?: readonly Mark[]
  onMark?: (mark: Mark) => void
  /** A time through which a vertical line is drawn, in Unix seconds. */
  moment?: number
  /** A click on the chart at a time (Unix milliseconds); dragging zooms. */
  onPick?: (time: number, line: Line | undefined) => void
}

/** Values over time: drag to zoom every chart, click the legend to hide lines, or see the same as a table. */
export function TimeSeries(props: TimeSeriesProps) {
  const { title, lines, unit, drawn = 'line', height = 200, legend = true } = props
  const { dark } = useTheme()
  const { range, zone, zoom } = useTime()
  const [table, setTable] = useState(false)
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set())
  const format = useMemo(() => props.format ?? formatter(unit), [props.format, unit])
  const shown = useMemo(() => lines.map((line) => !hidden.has(line.key)), [lines, hidden])
  const colors = useMemo(() => lines.map((line, index) => line.color ?? seriesColor(index, dark)), [lines, dark])
  const coloured = useMemo(() => lines.map((line, index) => ({ ...line, color: colors[index] })), [lines, colors])

  return (
    <figure className="chart" aria-label={describe(title, lines, format)}>
      <div className="chart-switch">
        <IconButton label={table ? `Show ${title} as a chart` : `Show ${title} as a table`} onPress={() => setTable(!table)}>
          {table ? <LineChart size={14} aria-hidden /> : <Table2 size={14} aria-hidden />}
        </IconButton>
      </div>
      {table ? (
        <PointsTable title={title} lines={lines} format={format} zone={zone} height={height} />
      ) : (
        <Plot {...props} lines={coloured} drawn={drawn} height={height} shown={shown} format={format} binary={isBinary(unit)} dark={dark} zone={zone} range={range} zoom={zoom} />
      )}
      {legend && lines.length > 0 ? <Legend lines={lines} colors={colors} hidden={hidden} setHidden={setHidden} format={format} sums={drawn === 'bars'} /> : null}
    </figure>
  )
}
