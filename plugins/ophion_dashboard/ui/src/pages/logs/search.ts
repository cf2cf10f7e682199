import { flag, list, oneOf, text, type Search } from '@/lib/search'

export const MIN_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type MinLevel = (typeof MIN_LEVELS)[number]

export interface LogsSearch {
  /** In the query language of logs. */
  q?: string
  service?: string[]
  level?: MinLevel
  trace?: string
  span?: string
  order?: 'oldest'
  live?: true
  wrap?: true
  view?: 'patterns'
  /** `time id` of the record whose details are open. */
  record?: string
}

export function logsSearch(search: Search): LogsSearch {
  return {
    q: text(search.q),
    service: list(search.service),
    level: oneOf(search.level, MIN_LEVELS),
    trace: text(search.trace),
    span: text(search.span),
    order: oneOf(search.order, ['oldest'] as const),
    live: flag(search.live),
    wrap: flag(search.wrap),
    view: oneOf(search.view, ['patterns'] as const),
    record: text(search.record),
  }
}
