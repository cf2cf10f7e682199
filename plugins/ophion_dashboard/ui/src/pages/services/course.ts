/** The course of a service as points of a chart, and the step under a point. */

interface Steps {
  start: number
  step_seconds: number
}

export function pointsOf({ start, step_seconds }: Steps, values: readonly (number | null)[]): [number, number | null][] {
  return values.map((value, index) => [start + index * step_seconds, value])
}

/** Return the step that holds a time, in Unix milliseconds, at least a minute wide. */
export function stepAround({ start, step_seconds }: Steps, ms: number): { from: number; to: number } {
  const width = Math.max(60, step_seconds) * 1000
  const first = start * 1000
  const from = first + Math.floor((ms - first) / width) * width
  return { from, to: from + width }
}
