/** Series of a result as lines of a chart: their names, and their values as numbers. */
import type { Line } from '@/components/chart/data'

export type Labels = Readonly<Record<string, string>>

export interface Series {
  labels: Labels
  /** Unix seconds and value; a value that JSON cannot write comes as text (`NaN`, `+Inf`). */
  points: readonly (readonly [number, number | string])[]
}

/** Return a value as a number; `+Inf`, `-Inf` and `NaN` come as text. */
export function numeric(value: number | string | null | undefined): number {
  if (typeof value === 'number') return value
  if (value === '+Inf' || value === 'Infinity') return Infinity
  if (value === '-Inf' || value === '-Infinity') return -Infinity
  return value === null || value === undefined || value === '' ? Number.NaN : Number(value)
}

export function lastValue(series: Series): number {
  return numeric(series.points.at(-1)?.[1])
}

/** Return the names of labels whose values are not the same in all series, sorted; all of them for a single series. */
export function tellingLabels(all: readonly Series[]): string[] {
  const names = new Set(all.flatMap((series) => Object.keys(series.labels)))
  names.delete('__name__')
  if (all.length < 2) return [...names].sort()
  const first = all[0]?.labels ?? {}
  return [...names].filter((name) => all.some((series) => series.labels[name] !== first[name])).sort()
}

/** Return the labels to name series by: one alone where it sets all apart, the one with the shortest values. */
export function namingLabels(all: readonly Series[]): string[] {
  const telling = tellingLabels(all)
  if (all.length < 2 || telling.length < 2) return telling
  const longest = (name: string) => Math.max(...all.map((series) => series.labels[name]?.length ?? 0))
  const alone = telling.filter((name) => new Set(all.map((series) => series.labels[name] ?? '')).size === all.length)
  const best = alone.sort((left, right) => longest(left) - longest(right))[0]
  return best === undefined ? telling : [best]
}

/** Return the name of a series that sets it apart from the others. */
export function seriesName(series: Series, telling: readonly string[], otherwise: string): string {
  const parts = telling.flatMap((name) => (series.labels[name] ? [`${name}=${series.labels[name]}`] : []))
  const metric = series.labels.__name__
  return parts.length ? parts.join(', ') : (metric ?? otherwise)
}

const PLACE = /\{\{\s*([^{}\s]+)\s*\}\}/g

/** Fill a legend template: `{{label}}` is the label's value, nothing where the series does not have it. */
export function fillLegend(template: string, labels: Labels): string {
  return template.replace(PLACE, (_, name: string) => labels[name] ?? '').trim()
}

export function seriesKey(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}=${labels[name]}`)
    .join(',')
}

export interface Drawing {
  /** A, B …; stands before the names where there are several queries. */
  letter: string
  expression: string
  series: readonly Series[]
  legend?: string
}

/** Return the lines of several queries, `most` at most, and how many were left out. */
export function toLines(drawings: readonly Drawing[], most = 200): { lines: Line[]; left: number } {
  const isMany = drawings.length > 1
  const all = drawings.flatMap((drawing) => linesOf(drawing, isMany))
  return { lines: all.slice(0, most), left: Math.max(0, all.length - most) }
}

function linesOf({ letter, expression, series, legend }: Drawing, isMany: boolean): Line[] {
  const telling = namingLabels(series)
  return series.map((one) => {
    const filled = legend ? fillLegend(legend, one.labels) : ''
    const own = filled || seriesName(one, telling, expression)
    return {
      key: `${letter}:${seriesKey(one.labels)}`,
      name: isMany && !filled ? `${letter} · ${own}` : own,
      points: one.points.map(([time, value]) => [time, typeof value === 'number' ? value : numeric(value)] as const),
    }
  })
}

/** Return lines with a gap wherever a step has no value, so that a chart does not draw across it. */
export function withGaps(lines: readonly Line[], stepSeconds: number): Line[] {
  return lines.map((line) => {
    const hasGap = line.points.some(([time], index) => index > 0 && time - (line.points[index - 1]?.[0] ?? time) > stepSeconds * 1.5)
    return hasGap ? { ...line, points: gapped(line.points, stepSeconds) } : line
  })
}

function gapped(points: Line['points'], step: number): Line['points'] {
  const result: (readonly [number, number | null])[] = []
  let before: number | undefined
  for (const point of points) {
    if (before !== undefined && point[0] - before > step * 1.5) result.push([before + step, null])
    result.push(point)
    before = point[0]
  }
  return result
}
