/** Numbers of panels: one value of a series, its colour, its text, shares and gaps. */
import type { Line } from '@/components/chart/data'
import { formatter } from '@/lib/format'
import { numeric, type Series } from '@/pages/metrics/promql/series'
import type { PanelOptions, Reduction, Threshold } from './types'

export function reduced(series: Series, how: Reduction): number {
  const values = series.points.map(([, value]) => numeric(value)).filter((value) => !Number.isNaN(value))
  if (values.length === 0) return Number.NaN
  if (how === 'last') return values.at(-1) ?? Number.NaN
  const sum = values.reduce((total, value) => total + value, 0)
  if (how === 'sum') return sum
  if (how === 'mean') return sum / values.length
  return values.reduce((best, value) => (how === 'min' ? Math.min(best, value) : Math.max(best, value)))
}

/** Return how values are written: the unit, with a fixed number of digits where one is asked for. */
export function valueFormat({ unit, decimals }: Pick<PanelOptions, 'unit' | 'decimals'>): (value: number) => string {
  // A share of 1, written as percent.
  const plain = formatter(unit === '%1' ? 'percent' : unit)
  if (decimals === null) return plain
  // The unit's own words, around a number with as many digits as were asked for.
  return (value) => {
    if (!Number.isFinite(value)) return plain(value)
    const text = plain(value)
    const scale = numberIn(text)
    if (scale === undefined) return text
    const exact = scale.number === 0 ? 0 : value / nearestScale(value, scale.number)
    return `${exact.toFixed(decimals)}${scale.rest}`
  }
}

function numberIn(text: string): { number: number; rest: string } | undefined {
  const match = /^(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?!\s*\w+\s\d)(.*)$/.exec(text)
  return match ? { number: Number(match[1]), rest: match[2] ?? '' } : undefined
}

const FACTORS = [1, 0.01, 100, ...[1, 2, 3, 4, 5].flatMap((n) => [1000 ** n, 1024 ** n, 1000 ** -n])]

/** Return the factor by which the unit's text was made smaller or larger. */
function nearestScale(value: number, written: number): number {
  const factor = value / written
  return FACTORS.reduce((best, one) => (Math.abs(Math.log(factor / one)) < Math.abs(Math.log(factor / best)) ? one : best), 1)
}

const COLOURS: Record<string, readonly [light: string, dark: string]> = {
  green: ['#0f7a43', '#4ccb86'],
  yellow: ['#8a6d00', '#e6d04f'],
  orange: ['#b34700', '#ee9a4d'],
  red: ['#b42318', '#ff8b80'],
  blue: ['#175cb5', '#7db6ff'],
  purple: ['#6a51a3', '#b9a5f0'],
  gray: ['#5f6b7a', '#95a2b2'],
}

export const COLOUR_NAMES = Object.keys(COLOURS)

export function colour(name: string, dark: boolean): string {
  return COLOURS[name]?.[dark ? 1 : 0] ?? (/^#[0-9a-f]{6}$/i.test(name) ? name : '#808080')
}

/** Return the colour of a value: that of the highest threshold at or below it. */
export function thresholdColour(value: number, thresholds: readonly Threshold[], dark: boolean): string | undefined {
  let best: Threshold | undefined
  for (const one of thresholds) {
    const reaches = one.value === null || value >= one.value
    if (reaches && (!best || (one.value ?? -Infinity) >= (best.value ?? -Infinity))) best = one
  }
  return best && colour(best.color, dark)
}

/** Return lines as shares of their sum at each time, 0 to 1. */
export function shares(lines: readonly Line[]): Line[] {
  const sums = new Map<number, number>()
  for (const line of lines) for (const [time, value] of line.points) sums.set(time, (sums.get(time) ?? 0) + Math.abs(value ?? 0))
  return lines.map((line) => ({ ...line, points: line.points.map(([time, value]) => [time, (value ?? 0) / (sums.get(time) || 1)] as const) }))
}

/** Return lines with 0 at each step that has no value. */
export function zeroFilled(lines: readonly Line[], start: number, end: number, step: number): Line[] {
  const phase = (lines[0]?.points[0]?.[0] ?? start) % step
  const first = Math.ceil((start - phase) / step) * step + phase
  const count = Math.min(20_000, Math.max(0, Math.floor((end - first) / step) + 1))
  return lines.map((line) => {
    const known = new Map(line.points.map(([time, value]) => [Math.round(time), value]))
    return { ...line, points: Array.from({ length: count }, (_, index) => [first + index * step, known.get(Math.round(first + index * step)) ?? 0] as const) }
  })
}

export interface Buckets {
  /** Upper bounds, or names. */
  names: string[]
  times: number[]
  /** counts[row][column], row 0 at the bottom. */
  counts: number[][]
}

/** Return the cells of a heat map: cumulative buckets (`le`) become those between two bounds. */
export function heatCells(all: readonly Series[]): Buckets {
  const isBuckets = all.length > 0 && all.every((series) => series.labels.le !== undefined)
  const ordered = isBuckets ? [...all].sort((left, right) => numeric(left.labels.le) - numeric(right.labels.le)) : [...all]
  const times = [...new Set(ordered.flatMap((series) => series.points.map(([time]) => time)))].sort((left, right) => left - right)
  const column = new Map(times.map((time, index) => [time, index]))
  const rows = ordered.map((series) => {
    const row = new Array<number>(times.length).fill(0)
    for (const [time, value] of series.points) row[column.get(time) ?? 0] = numeric(value) || 0
    return row
  })
  const counts = isBuckets ? rows.map((row, at) => row.map((value, index) => Math.max(0, value - (rows[at - 1]?.[index] ?? 0)))) : rows
  return { names: ordered.map((series) => series.labels.le ?? ''), times, counts }
}
