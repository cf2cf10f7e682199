import type { TracesSearch } from './search'
import type { Range } from '@/lib/time'

/** What the API takes beside the time range. */
export type Filters = Pick<TracesSearch, 'service' | 'operation' | 'status' | 'kind' | 'min_duration' | 'max_duration' | 'root' | 'log_text' | 'attr'>

const NAMES: readonly (keyof Filters)[] = ['service', 'operation', 'status', 'kind', 'min_duration', 'max_duration', 'root', 'log_text', 'attr']

/** Return the filters of a search without those that are not set. */
export function filtersOf(search: TracesSearch): Filters {
  return Object.fromEntries(NAMES.filter((name) => search[name] !== undefined).map((name) => [name, search[name]]))
}

/** Return a search without filters; what else stands in the URL stays. */
export function withoutFilters<T extends TracesSearch>(search: T): T {
  return { ...search, ...Object.fromEntries(NAMES.map((name) => [name, undefined])) }
}

export interface Chip {
  key: string
  text: string
  remove: Partial<TracesSearch>
}

const LABELS: Record<Exclude<keyof Filters, 'root'>, string> = {
  service: 'service',
  operation: 'operation',
  status: 'status',
  kind: 'kind',
  min_duration: 'at least',
  max_duration: 'at most',
  log_text: 'logs',
  attr: '',
}

/** Return the active filters as people read them, each with what removes it from the search. */
export function chipsOf(search: TracesSearch): Chip[] {
  const chips: Chip[] = []
  for (const name of NAMES) {
    const value = search[name]
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === undefined) continue
      const text = name === 'root' ? 'root spans only' : [LABELS[name], one].filter(Boolean).join(' ')
      chips.push({ key: `${name} ${String(one)}`, text, remove: { [name]: Array.isArray(value) ? without(value, String(one)) : undefined } })
    }
  }
  return chips
}

/** Return the values of a filter without one of them; undefined for none. */
export function without(values: readonly string[] | undefined, one: string): string[] | undefined {
  const rest = (values ?? []).filter((other) => other !== one)
  return rest.length ? rest : undefined
}

/** Return the search string of the API for filters; `more` are further parameters. */
export function apiQuery(filters: Filters, range: Range, more: Record<string, string> = {}): string {
  const parameters = new URLSearchParams({ from: String(range.start), to: String(range.end) })
  for (const name of NAMES) {
    const value = filters[name]
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) parameters.append(name, String(one))
  }
  for (const [name, value] of Object.entries(more)) parameters.set(name, value)
  return parameters.toString()
}

/** Return a shell command that asks the API for the same. */
export function curlOf(url: string): string {
  return `curl -H "Authorization: Bearer $OPHION_API_KEY" '${url.replaceAll("'", "'\\''")}'`
}

const DURATION = /^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/

/** Return a duration as the API takes it, or undefined for what is none; a number alone is milliseconds. */
export function readDuration(text: string): string | undefined {
  const plain = text.trim().replaceAll('µ', 'u').replaceAll(' ', '')
  if (/^\d+(\.\d+)?$/.test(plain)) return `${plain}ms`
  return DURATION.test(plain) ? plain : undefined
}

/** Return a duration of milliseconds as the API takes it, with three significant digits. */
export function writeDuration(milliseconds: number): string {
  const [size, unit] = milliseconds >= 1000 ? [1000, 's'] : milliseconds >= 1 ? [1, 'ms'] : milliseconds >= 0.001 ? [1e-3, 'us'] : [1e-6, 'ns']
  const digits = Number((milliseconds / size).toPrecision(3))
  return `${unit === 'ns' ? Math.round(digits) : digits}${unit}`
}

const CONDITION = /^([^=!<>~]+)(=~|!=|>=|<=|=|>|<)(.*)$/s

export interface Written {
  key: string
  operator: string
  value: string
}

/** Return the parts of an attribute filter that is being written; without an operator it is a key so far. */
export function splitCondition(text: string): Written {
  const match = CONDITION.exec(text)
  return match ? { key: (match[1] ?? '').trim(), operator: match[2] ?? '', value: match[3] ?? '' } : { key: text.trim(), operator: '', value: '' }
}

/** Return the attribute filter that finds spans with this value. */
export function conditionFor(key: string, value: unknown, isResource = false): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `${isResource ? 'resource.' : ''}${key}=${text}`
}
