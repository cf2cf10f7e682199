import { flag, list, oneOf, someOf, text, type Search } from '@/lib/search'

export const STATUSES = ['error', 'ok', 'unset'] as const
export const KINDS = ['server', 'client', 'producer', 'consumer', 'internal'] as const
export const SORTS = ['newest', 'longest'] as const
export const TABS = ['waterfall', 'flame', 'spans', 'critical', 'logs', 'json'] as const

/** Which traces: the names are those of the API's parameters. */
export interface TracesSearch {
  service?: string[]
  operation?: string[]
  status?: (typeof STATUSES)[number][]
  kind?: (typeof KINDS)[number][]
  /** Durations as people write them: `250ms`, `1.5s`. */
  min_duration?: string
  max_duration?: string
  root?: true
  log_text?: string
  /** `key=value` with = != > >= < <= =~, or `key` alone. */
  attr?: string[]
  sort?: (typeof SORTS)[number]
  /** Ids of traces that are chosen to be compared. */
  pick?: string[]
}

export interface TraceSearch {
  tab?: (typeof TABS)[number]
  /** Id of the selected span. */
  span?: string
  /** What is searched for within the trace. */
  find?: string
  /** The part of the trace that is shown: `from,to` in milliseconds from its start. */
  view?: string
}

export interface CompareSearch {
  a?: string
  b?: string
}

export function compareSearch(search: Search): CompareSearch {
  return { a: text(search.a), b: text(search.b) }
}

export function traceSearch(search: Search): TraceSearch {
  return { tab: oneOf(search.tab, TABS), span: text(search.span), find: text(search.find), view: text(search.view) }
}

export function tracesSearch(search: Search): TracesSearch {
  return {
    service: list(search.service),
    operation: list(search.operation),
    status: someOf(search.status, STATUSES),
    kind: someOf(search.kind, KINDS),
    min_duration: text(search.min_duration),
    max_duration: text(search.max_duration),
    root: flag(search.root),
    log_text: text(search.log_text),
    attr: list(search.attr),
    sort: oneOf(search.sort, SORTS),
    pick: list(search.pick)?.slice(0, 2),
  }
}
