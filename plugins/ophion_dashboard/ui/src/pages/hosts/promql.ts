/** PromQL of the pages about hosts, containers and services: selectors, windows, and results as lines. */
import type { SchemaPromQlSeries } from '@/api/client'
import type { Line } from '@/components/chart/data'
import { bytes } from '@/lib/format'

export type Labels = Readonly<Record<string, string>>

export interface Query {
  query: string
  /** What a series is called; the labels of the result are all there is. */
  name: string | ((labels: Labels) => string)
}

/** Agents measure once a minute at the latest, so a window of two minutes holds two samples. */
const LEAST_WINDOW_SECONDS = 120

/** Return the window of `rate` for a step, such as `120s`. */
export function windowOf(step: number): string {
  return `${Math.max(LEAST_WINDOW_SECONDS, step)}s`
}

/** Return a text as PromQL writes it. */
export function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}

/** Return `{host_name="web-1", state="idle"}`; a value that begins with `!` is excluded. */
export function selector(labels: Labels, more = ''): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}=${quoted(value)}`)
  return `{${[...parts, ...(more ? [more] : [])].join(', ')}}`
}

/** Return a value as a number; the API writes NaN and the infinities as texts. */
export function value(sample: number | string): number {
  return typeof sample === 'number' ? sample : sample === 'Infinity' || sample === '+Inf' ? Infinity : Number.NaN
}

/** Return the points of a series with a gap where steps are missing. */
export function points(series: SchemaPromQlSeries, step: number): [number, number | null][] {
  const found: [number, number | null][] = []
  let before: number | undefined
  for (const [time, sample] of series.points) {
    if (before !== undefined && time - before > 1.5 * step) found.push([before + step, null])
    found.push([time, value(sample)])
    before = time
  }
  return found
}

/** Return the series of one query as lines, by name; those of the same name get their labels as keys. */
export function lines(query: Query, series: readonly SchemaPromQlSeries[], step: number): Line[] {
  return series
    .map((one) => {
      const name = typeof query.name === 'string' ? query.name : query.name(one.labels)
      return { key: `${name} ${JSON.stringify(one.labels)}`, name, points: points(one, step) }
    })
    .sort((left, right) => left.name.localeCompare(right.name, undefined, { numeric: true }))
}

/** Return a line whose values are below the axis, so that what comes in and what goes out share a chart. */
export function mirrored(line: Line): Line {
  return { ...line, points: line.points.map(([time, one]) => [time, one === null ? null : -one]) }
}

/** Write bytes per second of lines of which some are mirrored. */
export function eitherWay(perSecond: number): string {
  return `${bytes(Math.abs(perSecond))}/s`
}
