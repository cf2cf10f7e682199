import { useCallback, useMemo, useRef, useState, type PointerEvent } from 'react'
import { count, duration } from '@/lib/format'
import { clock, type Range, type Zone } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { Canvas, useSize } from './Canvas'
import { boxed, EDGES, nearest, scaleOf, toX, toY, type Chosen, type Corner, type Point } from './scatterScale'
import { drawScatter } from './scatterDrawing'
import type { Points } from './useTraces'

interface Props {
  found: Points
  range: Range
  zone: Zone
  choose: (chosen: Chosen) => void
  open: (traceId: string) => void
}

const HEIGHT = 190

/** Traces by time and duration. The table below holds the same for keyboards and screen readers. */
export function Scatter({ found, range, zone, choose, open }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const { dark } = useTheme()
  const { width } = useSize(frame)
  const [from, setFrom] = useState<Corner>()
  const [at, setAt] = useState<Corner>()
  const size = useMemo(() => ({ width, height: HEIGHT }), [width])
  const scale = useMemo(() => scaleOf(found.points, range, size), [found, range, size])
  const hovered = at && !from ? nearest(scale, found.points, at.x, at.y) : undefined
  const draw = useCallback((context: CanvasRenderingContext2D) => drawScatter(context, scale, found.points, dark, zone), [scale, found, dark, zone])

  const corner = (event: PointerEvent): Corner => {
    const bounds = event.currentTarget.getBoundingClientRect()
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top }
  }
  const up = (event: PointerEvent) => {
    const end = corner(event)
    const chosen = from && boxed(scale, from, end)
    const point = chosen ? undefined : nearest(scale, found.points, end.x, end.y)
    setFrom(undefined)
    if (chosen) choose(chosen)
    else if (point) open(point.id)
  }
  const slowest = found.points.reduce<Point | undefined>((best, one) => (best && best.duration >= one.duration ? best : one), undefined)
  const failed = found.points.filter((one) => one.failed).length
  const summary = `Duration of ${count(found.points.length)} traces over time, ${count(failed)} failed${slowest ? `, the slowest ${duration(slowest.duration * 1e6)}` : ''}. The table of traces holds the same.`
  return (
    <figure aria-label={summary} className="traces-scatter">
      <div
        ref={frame}
        data-testid="scatter"
        style={{ height: HEIGHT, cursor: hovered ? 'pointer' : 'crosshair' }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId)
          setFrom(corner(event))
        }}
        onPointerMove={(event) => setAt(corner(event))}
        onPointerLeave={() => setAt(undefined)}
        onPointerCancel={() => setFrom(undefined)}
        onPointerUp={up}
        aria-hidden
      >
        <Canvas size={size} draw={draw} />
        {from && at ? <Selection from={from} to={at} /> : null}
        {hovered ? <Tip point={hovered} x={toX(scale, hovered.time)} y={toY(scale, hovered.duration)} width={width} zone={zone} /> : null}
      </div>
      <figcaption className="row wrap spread small quiet">
        <span className="row wrap">
          <span className="row">
            <span className="traces-key" aria-hidden /> {count(found.points.length - failed)} fine
          </span>
          <span className="row">
            <span className="traces-key failed" aria-hidden /> {count(failed)} failed
          </span>
        </span>
        <span>{found.sampled ? `a sample of ${count(found.traces)} traces with the slowest; ` : ''}drag a box to filter, click to open</span>
      </figcaption>
    </figure>
  )
}

function Selection({ from, to }: { from: Corner; to: Corner }) {
  const left = Math.min(from.x, to.x)
  const top = Math.min(from.y, to.y)
  return <span className="traces-box" style={{ left, top, width: Math.abs(from.x - to.x), height: Math.abs(from.y - to.y) }} />
}

function Tip({ point, x, y, width, zone }: { point: Point; x: number; y: number; width: number; zone: Zone }) {
  const side = x > width / 2 ? { right: width - x + 10 } : { left: x + 10 }
  const top = Math.max(EDGES.top, Math.min(y - 20, HEIGHT - 74))
  return (
    <>
      <span className="traces-ring" style={{ left: x, top: y }} />
      <div className="chart-tip traces-tip" style={{ ...side, top }}>
        <b>{point.label}</b>
        <div>
          {duration(point.duration * 1e6)}
          {point.failed ? ', failed' : ''}
        </div>
        <div className="faint">{clock(point.time, zone, 3)}</div>
      </div>
    </>
  )
}
