import { useEffect, useMemo, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Range, Zone } from '@/lib/time'
import { clock } from '@/lib/time'
import { aligned, stacked as stack, type Drawn, type Line } from './data'
import { chartOptions } from './options'
import { drawMarks, drawMoment, drawThresholds, nearestMark } from './marks'

/** A point of its own above the lines, such as an exemplar. `time` in Unix seconds. */
export interface Mark {
  key: string
  time: number
  value: number
  label: string
}

interface Props {
  title: string
  lines: readonly Line[]
  shown: readonly boolean[]
  drawn: Drawn
  stacked?: boolean
  height: number
  min?: number
  max?: number
  format: (value: number) => string
  dark: boolean
  zone: Zone
  range: Range
  zoom: (start: number, end: number) => void
  thresholds?: readonly { value: number; color: string }[]
  marks?: readonly Mark[]
  moment?: number
  binary?: boolean
  onMark?: (mark: Mark) => void
  onPick?: (time: number, line: Line | undefined) => void
}

interface Hover {
  left: number
  top: number
  index: number
}

/** The canvas of a chart, and what stands under the pointer. */
export function Plot(props: Props) {
  const { lines, shown, drawn, stacked = false, height, min, max, format, dark, zone, range, marks, moment, binary, thresholds } = props
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  const width = useWidth(place)
  const [hover, setHover] = useState<Hover | null>(null)
  const plain = useMemo(() => aligned(lines), [lines])
  const data = useMemo(() => (stacked ? stack(plain, shown) : plain), [plain, stacked, shown])
  // Bars that stand on others are drawn first, or they would cover them.
  const backwards = stacked && drawn === 'bars'

  useEffect(() => {
    latest.current = props
  })
  useEffect(() => {
    const node = place.current
    if (!node || width < 40) return undefined
    const look = { dark, zone, drawn, stacked, format, binary, min, max, width, height, range: [range.start / 1000, range.end / 1000] as const }
    const ordered = backwards ? lines.toReversed() : lines
    const options = chartOptions(ordered, backwards ? shown.toReversed() : shown, look)
    options.hooks = {
      draw: [
        (drawnPlot) => drawThresholds(drawnPlot, thresholds ?? []),
        (drawnPlot) => drawMoment(drawnPlot, moment, dark),
        (drawnPlot) => drawMarks(drawnPlot, marks ?? [], dark),
      ],
      setSelect: [(selected) => zoomTo(selected, latest.current.zoom)],
      setCursor: [(moved) => setHover(hovered(moved))],
    }
    const created = new uPlot(options, backwards ? [data[0], ...data.slice(1).toReversed()] : data, node)
    plot.current = created
    return () => {
      created.destroy()
      plot.current = null
    }
  }, [lines, shown, data, backwards, drawn, stacked, height, min, max, format, binary, dark, zone, range, marks, moment, thresholds, width])

  const click = (event: React.MouseEvent) => {
    const current = plot.current
    const bounds = current?.over.getBoundingClientRect()
    if (!current || !bounds || current.select.width > 2) return
    const x = event.clientX - bounds.left
    const mark = nearestMark(current, marks ?? [], x, event.clientY - bounds.top)
    if (mark && props.onMark) props.onMark(mark)
    else if (x >= 0 && x <= bounds.width) props.onPick?.(current.posToVal(x, 'x') * 1000, nearestLine(current, backwards ? lines.toReversed() : lines))
  }
  return (
    <div className="plot" style={{ height }}>
      <div ref={place} onClick={click} aria-hidden className={props.onPick || props.onMark ? 'pickable' : undefined} />
      {hover ? <Tip hover={hover} lines={lines} shown={shown} data={plain} format={format} zone={zone} width={width} /> : null}
    </div>
  )
}

function useWidth(place: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const node = place.current
    if (!node) return undefined
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)))
    observer.observe(node)
    return () => observer.disconnect()
  }, [place])
  return width
}

function zoomTo(plot: uPlot, zoom: (start: number, end: number) => void): void {
  const { left, width } = plot.select
  if (width < 5) return
  zoom(plot.posToVal(left, 'x') * 1000, plot.posToVal(left + width, 'x') * 1000)
}

function hovered(plot: uPlot): Hover | null {
  const { left = -1, top = -1, idx } = plot.cursor
  // A chart that only follows the pointer of another one shows the line, not the box.
  const isOwn = plot.over.matches(':hover')
  return left < 0 || idx === null || idx === undefined || !isOwn ? null : { left, top, index: idx }
}

function nearestLine(plot: uPlot, lines: readonly Line[]): Line | undefined {
  const index = plot.series.findIndex((series, at) => at > 0 && (series as { _focus?: boolean })._focus)
  return lines[index - 1] ?? (lines.length === 1 ? lines[0] : undefined)
}

interface TipProps {
  hover: Hover
  lines: readonly Line[]
  shown: readonly boolean[]
  data: uPlot.AlignedData
  format: (value: number) => string
  zone: Zone
  width: number
}

const MOST = 10

function Tip({ hover, lines, shown, data, format, zone, width }: TipProps) {
  const time = data[0][hover.index]
  if (time === undefined) return null
  const values = lines
    .map((line, index) => ({ line, value: data[index + 1]?.[hover.index], shown: shown[index] !== false }))
    .filter((one): one is { line: Line; value: number; shown: true } => one.shown && one.value !== null && one.value !== undefined)
    .sort((left, right) => right.value - left.value)
  const side = hover.left > width / 2 ? { right: width - hover.left + 6 } : { left: hover.left + 62 }
  return (
    <div className="chart-tip" style={side} aria-hidden>
      <div className="faint">{clock(time * 1000, zone)}</div>
      {values.slice(0, MOST).map(({ line, value }) => (
        <div key={line.key} className="row spread">
          <span className="ellipsis">{line.name ?? line.key}</span>
          <b>{format(value)}</b>
        </div>
      ))}
      {values.length > MOST ? <div className="faint">and {values.length - MOST} more</div> : null}
    </div>
  )
}
