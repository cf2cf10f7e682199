import { clock, HOUR, MINUTE, type Zone } from '@/lib/time'
import { durationTicks, EDGES, timeTicks, toX, toY, type Point, type Scale } from './scatterScale'

interface Inks {
  text: string
  grid: string
  fine: string
  failed: string
}

const LIGHT: Inks = { text: '#5f6b7a', grid: '#e8ebef', fine: '#0b7a70', failed: '#b42318' }
const DARK: Inks = { text: '#95a2b2', grid: '#232c37', fine: '#2cc2b1', failed: '#ff8b80' }

/** Draw the axes and the points: fine ones as dots, failed ones as crosses above them. */
export function drawScatter(context: CanvasRenderingContext2D, scale: Scale, points: readonly Point[], dark: boolean, zone: Zone): void {
  const inks = dark ? DARK : LIGHT
  drawAxes(context, scale, inks, zone)
  context.fillStyle = inks.fine
  context.globalAlpha = points.length > 500 ? 0.45 : 0.65
  context.beginPath()
  for (const point of points) {
    if (point.failed) continue
    const x = toX(scale, point.time)
    const y = toY(scale, point.duration)
    context.moveTo(x + 2.6, y)
    context.arc(x, y, 2.6, 0, Math.PI * 2)
  }
  context.fill()
  context.globalAlpha = 1
  drawFailures(context, scale, points, inks)
}

function drawFailures(context: CanvasRenderingContext2D, scale: Scale, points: readonly Point[], inks: Inks): void {
  context.strokeStyle = inks.failed
  context.lineWidth = 1.8
  context.beginPath()
  for (const point of points) {
    if (!point.failed) continue
    const x = toX(scale, point.time)
    const y = toY(scale, point.duration)
    context.moveTo(x - 3.5, y - 3.5)
    context.lineTo(x + 3.5, y + 3.5)
    context.moveTo(x + 3.5, y - 3.5)
    context.lineTo(x - 3.5, y + 3.5)
  }
  context.stroke()
}

function drawAxes(context: CanvasRenderingContext2D, scale: Scale, inks: Inks, zone: Zone): void {
  const { width, height } = scale.size
  context.font = '11px system-ui, sans-serif'
  context.fillStyle = inks.text
  context.strokeStyle = inks.grid
  context.lineWidth = 1
  context.beginPath()
  context.textAlign = 'right'
  context.textBaseline = 'middle'
  let before = Infinity
  for (const { value, label } of durationTicks(scale)) {
    const y = Math.round(toY(scale, value)) + 0.5
    if (before - y < 15) continue
    before = y
    line(context, EDGES.left, y, width - EDGES.right, y)
    context.fillText(label, EDGES.left - 8, y)
  }
  context.textAlign = 'center'
  context.textBaseline = 'alphabetic'
  const offset = zone === 'utc' ? 0 : -new Date(scale.range.start).getTimezoneOffset() * MINUTE
  for (const time of timeTicks(scale, offset)) {
    const x = Math.round(toX(scale, time)) + 0.5
    line(context, x, EDGES.top, x, height - EDGES.bottom)
    context.fillText(timeLabel(time, scale, zone), x, height - 6)
  }
  context.stroke()
}

function line(context: CanvasRenderingContext2D, x: number, y: number, endX: number, endY: number): void {
  context.moveTo(x, y)
  context.lineTo(endX, endY)
}

function timeLabel(time: number, scale: Scale, zone: Zone): string {
  const text = clock(time, zone)
  const length = scale.range.end - scale.range.start
  if (length > 36 * HOUR) return text.slice(5, 16)
  return length < 10 * MINUTE ? text.slice(11) : text.slice(11, 16)
}
