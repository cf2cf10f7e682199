import { duration } from '@/lib/format'
import type { Range } from '@/lib/time'

/** A trace on the scatter: time in Unix milliseconds, duration in milliseconds. */
export interface Point {
  id: string
  time: number
  duration: number
  failed: boolean
  label: string
}

export interface Size {
  width: number
  height: number
}

/** Room for the axes, in pixels. */
export const EDGES = { left: 58, right: 10, top: 8, bottom: 22 }
const LEAST_MS = 0.001

export interface Scale {
  range: Range
  /** Logarithms to base 10 of milliseconds. */
  low: number
  high: number
  size: Size
}

/** Return a scale whose durations hold all points, with a little room. */
export function scaleOf(points: readonly Point[], range: Range, size: Size): Scale {
  let low = Infinity
  let high = -Infinity
  for (const { duration: took } of points) {
    const power = Math.log10(Math.max(LEAST_MS, took))
    low = Math.min(low, power)
    high = Math.max(high, power)
  }
  if (low > high) return { range, low: 0, high: 3, size }
  const room = Math.max(0.08, (high - low) * 0.06)
  return { range, low: low - room, high: Math.max(high + room, low + 0.3), size }
}

export function toX(scale: Scale, time: number): number {
  const width = scale.size.width - EDGES.left - EDGES.right
  return EDGES.left + ((time - scale.range.start) / (scale.range.end - scale.range.start)) * width
}

export function toY(scale: Scale, milliseconds: number): number {
  const height = scale.size.height - EDGES.top - EDGES.bottom
  const power = Math.log10(Math.max(LEAST_MS, milliseconds))
  return EDGES.top + (1 - (power - scale.low) / (scale.high - scale.low)) * height
}

export function toTime(scale: Scale, x: number): number {
  const width = scale.size.width - EDGES.left - EDGES.right
  const share = Math.max(0, Math.min(1, (x - EDGES.left) / width))
  return scale.range.start + share * (scale.range.end - scale.range.start)
}

export function toDuration(scale: Scale, y: number): number {
  const height = scale.size.height - EDGES.top - EDGES.bottom
  const share = Math.max(0, Math.min(1, 1 - (y - EDGES.top) / height))
  return 10 ** (scale.low + share * (scale.high - scale.low))
}

/** Return the nearest point within `reach` pixels; of equally near ones the failed one. */
export function nearest(scale: Scale, points: readonly Point[], x: number, y: number, reach = 9): Point | undefined {
  let best: Point | undefined
  let least = reach
  for (const point of points) {
    const away = Math.hypot(toX(scale, point.time) - x, toY(scale, point.duration) - y)
    if (away < least || (away === least && point.failed)) {
      best = point
      least = away
    }
  }
  return best
}

export interface Corner {
  x: number
  y: number
}

export interface Chosen {
  range: Range
  /** Milliseconds. */
  least: number
  most: number
}

/** Return what a box on the canvas encloses, or undefined for one that is too small to be meant. */
export function boxed(scale: Scale, from: Corner, to: Corner): Chosen | undefined {
  if (Math.abs(from.x - to.x) < 5 && Math.abs(from.y - to.y) < 5) return undefined
  const times = [toTime(scale, from.x), toTime(scale, to.x)].sort((one, other) => one - other)
  const durations = [toDuration(scale, from.y), toDuration(scale, to.y)].sort((one, other) => one - other)
  const [start = 0, end = 0] = times
  const [least = 0, most = 0] = durations
  return { range: { start: Math.floor(start), end: Math.max(Math.floor(start) + 1, Math.ceil(end)) }, least, most }
}

/** Return the round durations (1, 10, 100 ms; with a finer step 1, 2, 5) of an axis. */
export function durationTicks(scale: Scale): { value: number; label: string }[] {
  const steps = scale.high - scale.low > 2.2 ? [1] : [1, 2, 5]
  const found: { value: number; label: string }[] = []
  for (let power = Math.floor(scale.low); power <= Math.ceil(scale.high); power += 1) {
    for (const step of steps) {
      const value = step * 10 ** power
      const log = Math.log10(value)
      if (log >= scale.low && log <= scale.high) found.push({ value, label: duration(value * 1e6) })
    }
  }
  return found
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]

/** Return round times of the axis in Unix milliseconds; `offset` is the zone's distance to UTC in milliseconds. */
export function timeTicks(scale: Scale, offset: number, space = 90): number[] {
  const { start, end } = scale.range
  const wanted = Math.max(1, (scale.size.width - EDGES.left - EDGES.right) / space)
  const step = (TIME_STEPS.find((one) => (end - start) / 1000 / one <= wanted) ?? 2_592_000) * 1000
  const found: number[] = []
  for (let at = Math.ceil((start + offset) / step) * step; at <= end + offset && found.length < 40; at += step) found.push(at - offset)
  return found
}
