import type { SchemaSpanView } from '@/api/client'

/** Makers of spans and traces for tests. */

/** Return numbers between 0 and 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

export function spanOf(id: string, parent: string, start: number, duration: number, more: Partial<SchemaSpanView> = {}): SchemaSpanView {
  return {
    span_id: id,
    parent_span_id: parent,
    name: `op ${id}`,
    service: 'shop',
    kind: 'internal',
    status: 'unset',
    status_message: '',
    offset_ms: start,
    duration_ms: duration,
    self_ms: 0,
    critical_ms: 0,
    trace_state: '',
    attributes: {},
    events: [],
    links: [],
    resource: 0,
    scope: 0,
    ...more,
  }
}

/** Return a trace of `count` spans as real ones can be: orphans, children outside their parents, parents unknown. */
export function randomSpans(seed: number, count: number): SchemaSpanView[] {
  const random = randomOf(seed)
  const spans = [spanOf('s0', '', 0, 1000)]
  for (let number = 1; number < count; number += 1) {
    const above = spans[Math.floor(random() * spans.length)] as SchemaSpanView
    const isOdd = random() < 0.1
    const start = isOdd ? random() * 1200 - 100 : above.offset_ms + random() * above.duration_ms
    const took = random() < 0.05 ? 0 : isOdd ? random() * 500 : random() * (above.offset_ms + above.duration_ms - start)
    const parent = random() < 0.03 ? `gone${number % 3}` : above.span_id
    const failed = random() < 0.1
    const more: Partial<SchemaSpanView> = { name: `op ${number % 9}`, service: `service-${number % 4}`, status: failed ? 'error' : 'unset' }
    spans.push(spanOf(`s${number}`, parent, start, Math.max(0, took), more))
  }
  return spans.sort((one, other) => one.offset_ms - other.offset_ms)
}

/** Return each of a number of random traces, from none to some hundreds of spans. */
export function* randomTraces(number = 60): Generator<SchemaSpanView[]> {
  for (let seed = 1; seed <= number; seed += 1) yield randomSpans(seed, Math.max(1, Math.floor(randomOf(seed)() ** 2 * 400)))
}
