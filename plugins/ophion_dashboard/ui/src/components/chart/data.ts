import uPlot from 'uplot'

/** One line of a chart: `points` are (Unix seconds, value), in order of time; null or NaN is a gap. */
export interface Line {
  /** Unique in its chart; what is shown where there is no `name`. */
  key: string
  name?: string
  color?: string
  points: readonly (readonly [number, number | null])[]
}

export type Drawn = 'line' | 'area' | 'bars'

export interface Summary {
  last: number | null
  low: number | null
  high: number | null
  mean: number | null
  sum: number | null
}

/** Return the lines on one common list of times, as uPlot wants them. */
export function aligned(lines: readonly Line[]): uPlot.AlignedData {
  if (lines.length === 0) return [[], []]
  const tables = lines.map<uPlot.AlignedData>((line) => [
    line.points.map(([time]) => time),
    line.points.map(([, value]) => (value === null || !Number.isFinite(value) ? null : value)),
  ])
  return tables.length === 1 ? (tables[0] ?? [[], []]) : uPlot.join(tables, lines.map(() => [0, 2]))
}

/** Return the data with each line standing on those before it; gaps count as nothing. Hidden lines are left out. */
export function stacked(data: uPlot.AlignedData, shown: readonly boolean[]): uPlot.AlignedData {
  const [times, ...columns] = data
  const sums = new Float64Array(times.length)
  const result = columns.map((column, line) =>
    shown[line] === false
      ? column
      : Array.from(column, (value, index) => {
          sums[index] = (sums[index] ?? 0) + (value ?? 0)
          return value === undefined ? undefined : (sums[index] ?? 0)
        }),
  )
  return [times, ...(result as (number | null | undefined)[][])]
}

export function summarise(points: Line['points']): Summary {
  let last: number | null = null
  let low = Infinity
  let high = -Infinity
  let sum = 0
  let known = 0
  for (const [, value] of points) {
    if (value === null || !Number.isFinite(value)) continue
    last = value
    low = Math.min(low, value)
    high = Math.max(high, value)
    sum += value
    known += 1
  }
  return known ? { last, low, high, mean: sum / known, sum } : { last: null, low: null, high: null, mean: null, sum: null }
}

/** Say what a chart shows, for those who do not see it. */
export function describe(title: string, lines: readonly Line[], format: (value: number) => string): string {
  if (lines.length === 0) return `${title}: no data`
  const parts = lines.slice(0, 5).map((line) => {
    const { last, low, high } = summarise(line.points)
    if (last === null || low === null || high === null) return `${line.name ?? line.key}: no data`
    return `${line.name ?? line.key}: now ${format(last)}, between ${format(low)} and ${format(high)}`
  })
  const more = lines.length > 5 ? `; and ${lines.length - 5} more` : ''
  return `${title}: ${lines.length} ${lines.length === 1 ? 'line' : 'lines'}. ${parts.join('; ')}${more}`
}
