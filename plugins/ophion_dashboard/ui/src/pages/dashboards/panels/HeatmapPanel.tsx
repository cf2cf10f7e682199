import { useEffect, useMemo, useRef, useState, type PointerEvent } from 'react'
import { short } from '@/lib/format'
import { clock } from '@/lib/time'
import { seriesName, tellingLabels } from '@/pages/metrics/promql/series'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import type { PanelModel } from '../model/types'
import { heatCells, valueFormat, type Buckets } from '../model/values'
import { drawHeat, heatArea } from './heat'
import type { SeriesData } from './data'
import type { SeriesProps } from './props'

interface Cell {
  row: number
  column: number
}

function named(panel: PanelModel, data: SeriesData): Buckets {
  const all = data.outcomes.flatMap((outcome) => outcome.series)
  const cells = heatCells(all)
  const format = valueFormat(panel.options)
  const telling = tellingLabels(all)
  const isBuckets = cells.names.every(Boolean)
  const names = isBuckets ? cells.names.map((name) => (name === '+Inf' ? '∞' : format(Number(name)))) : all.map((series) => seriesName(series, telling, ''))
  return { ...cells, names }
}

/** How many fall where, over time: darker is more. The values stand in the box under the pointer. */
export function HeatmapPanel({ panel, data, size, range }: SeriesProps) {
  const { dark } = useTheme()
  const { zone } = useTime()
  const canvas = useRef<HTMLCanvasElement>(null)
  const [cell, setCell] = useState<Cell | null>(null)
  const heat = useMemo(() => named(panel, data), [panel, data])
  const area = useMemo(() => heatArea(size, heat.names), [size, heat])
  useEffect(() => {
    const node = canvas.current
    if (node && size.width > 0) drawHeat(node, heat, area, { dark, zone, start: range.start / 1000, end: range.end / 1000, step: data.step })
  }, [heat, area, dark, zone, range, data.step, size])
  const hover = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect()
    const time = range.start / 1000 + ((event.clientX - bounds.left - area.left) / area.width) * ((range.end - range.start) / 1000)
    const row = heat.names.length - 1 - Math.floor(((event.clientY - bounds.top - area.top) / area.height) * heat.names.length)
    const column = heat.times.findIndex((one) => one >= time)
    setCell(row >= 0 && row < heat.names.length && column >= 0 ? { row, column } : null)
  }
  const total = heat.counts.flat().reduce((sum, value) => sum + value, 0)
  const most = heat.counts.map((row) => row.reduce((sum, value) => sum + value, 0))
  const busiest = heat.names[most.indexOf(Math.max(...most))] ?? ''
  return (
    <div className="plot" style={{ height: size.height }}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={`${panel.title || 'Heat map'}: ${heat.names.length} rows from ${heat.names[0] ?? '-'} to ${heat.names.at(-1) ?? '-'}, most in ${busiest}, ${short(total)} in all`}
        style={{ width: size.width, height: size.height }}
        onPointerMove={hover}
        onPointerLeave={() => setCell(null)}
      />
      {cell ? (
        <div className="chart-tip" style={cell.column > heat.times.length / 2 ? { left: area.left + 8 } : { right: 8 }} aria-hidden>
          <div className="faint">{clock((heat.times[cell.column] ?? 0) * 1000, zone)}</div>
          <div className="row spread">
            <span>
              {heat.names[cell.row - 1] ? `${heat.names[cell.row - 1]} – ` : '≤ '}
              {heat.names[cell.row]}
            </span>
            <b>{short(heat.counts[cell.row]?.[cell.column] ?? 0)}</b>
          </div>
        </div>
      ) : null}
    </div>
  )
}
