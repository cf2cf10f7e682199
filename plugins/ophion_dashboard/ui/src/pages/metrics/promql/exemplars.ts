import type { Mark } from '@/components/chart/Plot'
import type { Range } from '@/lib/time'
import { prometheus } from './prometheus'

export interface TraceMark extends Mark {
  traceId: string
}

interface Found {
  exemplars?: { labels?: Record<string, string>; value?: string; timestamp?: number }[]
}

const SLOTS = 60
const PER_SLOT = 3

/** Return exemplars of an expression, the largest of each moment, so that a chart is not covered with them. */
export async function findExemplars(expression: string, range: Range, signal?: AbortSignal): Promise<TraceMark[]> {
  const query = { query: expression, start: String(range.start / 1000), end: String(range.end / 1000) }
  const data = await prometheus('query_exemplars', query, signal)
  return thinned(marks(Array.isArray(data) ? (data as Found[]) : []), range)
}

export function marks(found: readonly Found[]): TraceMark[] {
  const all = found.flatMap((one) => one.exemplars ?? []).flatMap((one) => {
    const traceId = one.labels?.trace_id
    const value = Number(one.value)
    if (!traceId || one.timestamp === undefined || Number.isNaN(value)) return []
    return [{ key: `${traceId}${one.timestamp}`, time: one.timestamp, value, label: `Trace ${traceId}`, traceId }]
  })
  return [...new Map(all.map((mark) => [mark.key, mark])).values()]
}

export function thinned(all: readonly TraceMark[], range: Range): TraceMark[] {
  const width = Math.max(1, (range.end - range.start) / 1000 / SLOTS)
  const slots = new Map<number, number>()
  return [...all]
    .sort((left, right) => right.value - left.value)
    .filter((mark) => {
      const slot = Math.floor(mark.time / width)
      const before = slots.get(slot) ?? 0
      slots.set(slot, before + 1)
      return before < PER_SLOT
    })
}
