import { flag, list, oneOf, text, type Search } from '@/lib/search'

const DRAWN = ['line', 'area', 'bars'] as const

export interface MetricsSearch {
  /** PromQL, one for each of A, B, C … */
  q?: string[]
  /** Letters of queries that are not drawn. */
  off?: string[]
  view?: 'table'
  drawn?: (typeof DRAWN)[number]
  stacked?: true
  /** At the end of the range only. */
  instant?: true
  step?: string
  exemplars?: true
}

export function metricsSearch(search: Search): MetricsSearch {
  return {
    q: list(search.q),
    off: list(search.off),
    view: oneOf(search.view, ['table'] as const),
    drawn: oneOf(search.drawn, DRAWN),
    stacked: flag(search.stacked),
    instant: flag(search.instant),
    step: stepText(search.step),
    exemplars: flag(search.exemplars),
  }
}

function stepText(value: unknown): string | undefined {
  const step = text(value)
  return step && /^\d{1,6}(ms|s|m|h|d)$/.test(step) ? step : undefined
}
