import type { LogsSearch } from './search'

/** What the log routes filter by, made of what stands in the URL. */
export interface Filters {
  query: string
  severity_min?: string
  trace_id?: string
}

const BARE = /^[\w./@-]+$/

/** Return `field:value` of the query language, quoted where needed. */
export function term(field: string, value: unknown): string {
  const plain = typeof value === 'string' ? value : JSON.stringify(value)
  const quoted = BARE.test(plain) ? plain : `"${plain.replace(/[\\"]/g, '\\$&')}"`
  return `${field}:${quoted}`
}

/** Return the query with a term more, or with its opposite taken out. */
export function withTerm(query: string, added: string, without = false): string {
  const wanted = without ? `-${added}` : added
  const opposite = without ? added : `-${added}`
  const words = query.split(' ').filter(Boolean).join(' ')
  if (` ${words} `.includes(` ${wanted} `)) return words
  const rest = ` ${words} `.replace(` ${opposite} `, ' ').trim()
  return [rest, wanted].filter(Boolean).join(' ')
}

export function filters(search: LogsSearch): Filters {
  const services = search.service?.map((name) => term('service', name)) ?? []
  const anyService = services.length > 1 ? `(${services.join(' OR ')})` : services[0]
  const span = search.span ? term('span_id', search.span) : undefined
  const text = search.q && needsGroup(search.q) && (anyService || span) ? `(${search.q})` : search.q
  return {
    query: [text, anyService, span].filter(Boolean).join(' '),
    severity_min: search.level,
    trace_id: search.trace && /^[0-9a-f]{32}$/i.test(search.trace) ? search.trace : undefined,
  }
}

function needsGroup(query: string): boolean {
  return /\bOR\b/.test(query)
}
