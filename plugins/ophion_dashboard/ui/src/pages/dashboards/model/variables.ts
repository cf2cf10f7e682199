/** Variables: what is chosen, and how expressions, titles and links get it. */
import { escapedRegex } from '@/pages/metrics/promql/model'
import type { Variable } from './types'

export const ALL = '$__all'

export interface Chosen {
  variable: Variable
  /** What is chosen; `ALL` alone for everything. */
  values: readonly string[]
  /** All values where they are a part of what the label has; without them all is any value. */
  all?: readonly string[]
}

export type Values = ReadonlyMap<string, Chosen>

/** `$name`, `${name}` or `${name:format}`. */
const NAMED = /\$(?:\{([A-Za-z_]\w*)(?::(\w+))?\}|([A-Za-z_]\w*))/g

function replaced(text: string, value: (name: string, format: string | undefined, at: number) => string | undefined): string {
  return text.replace(NAMED, (whole, braced: string | undefined, format: string | undefined, bare: string | undefined, at: number) =>
    value(braced ?? bare ?? '', format, at) ?? whole,
  )
}

function inString(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}

function regex(values: readonly string[]): string {
  const [first = ''] = values
  return values.length === 1 ? escapedRegex(first) : `(${values.map(escapedRegex).join('|')})`
}

/** What time and resolution give to expressions: `$__interval`, `$__rate_interval`, `$__range`. */
export interface Clockwork {
  stepSeconds: number
  rangeSeconds: number
}

/** The window of rates: room for four samples of a sender that speaks every 15 seconds, and for a whole step. */
export function rateInterval(stepSeconds: number): number {
  return Math.max(60, Math.ceil(stepSeconds * 2))
}

function ofClock(name: string, { stepSeconds, rangeSeconds }: Clockwork): string | undefined {
  if (name === '__interval') return `${stepSeconds}s`
  if (name === '__rate_interval') return `${rateInterval(stepSeconds)}s`
  if (name === '__range') return `${Math.max(1, Math.round(rangeSeconds))}s`
  return undefined
}

/** Return PromQL with its variables filled in: a regular expression where several values can be chosen. */
export function fillPromQL(expression: string, values: Values, clockwork: Clockwork): string {
  return replaced(expression, (name, format) => {
    const chosen = values.get(name)
    if (!chosen) return ofClock(name, clockwork)
    if (format === 'raw') return chosen.values.join(',')
    if (chosen.values[0] === ALL) return chosen.all?.length ? inString(regex(chosen.all)) : '.*'
    const isRegex = format === 'regex' || chosen.variable.multi
    return inString(isRegex ? regex(chosen.values) : (chosen.values[0] ?? ''))
  })
}

/** Return a search in logs or traces with its variables filled in; `field:$name` goes away where all are chosen. */
export function fillSearch(expression: string, values: Values): string {
  const isAll = (name: string) => values.get(name)?.values[0] === ALL
  const without = expression.replace(/-?[\w.]+(?::|=~|=)"?\$(?:\{(\w+)(?::\w+)?\}|(\w+))"?/g, (whole, braced?: string, bare?: string) =>
    isAll(braced ?? bare ?? '') ? '' : whole,
  )
  const filled = replaced(without, (name, _format, at) => {
    const chosen = values.get(name)
    if (!chosen) return undefined
    const [first = ''] = chosen.values
    if (chosen.values.length > 1) return `/^${regex(chosen.values)}$/`
    const isQuoted = without[at - 1] === '"'
    return isQuoted ? inString(first) : /^[\w.-]+$/.test(first) ? first : `"${inString(first)}"`
  })
  return filled.replace(/ {2,}/g, ' ').trim()
}

/** Return a title or Markdown with its variables filled in, as people read them. */
export function fillText(text: string, values: Values): string {
  return replaced(text, (name) => {
    const chosen = values.get(name)
    return chosen && (chosen.values[0] === ALL ? 'all' : chosen.values.join(', '))
  })
}

/** Return a link with its variables filled in. */
export function fillLink(url: string, values: Values): string {
  return replaced(url, (name) => {
    const chosen = values.get(name)
    return chosen && encodeURIComponent(chosen.values[0] === ALL ? '' : (chosen.values[0] ?? ''))
  })
}

/** Return what is chosen: what the URL says where it can be, else the default, else the first or all. */
export function choose(variable: Variable, fromUrl: readonly string[] | undefined, offered: readonly string[] | undefined): readonly string[] {
  const wanted = fromUrl?.length ? fromUrl : variable.default
  if (variable.kind === 'text') return [wanted[0] ?? '']
  if (wanted[0] === ALL && variable.include_all) return [ALL]
  // A value that the URL names stays although nothing has it now: panels then say that there is no data.
  const known = fromUrl?.length ? wanted : wanted.filter((value) => !offered || offered.includes(value))
  const values = variable.multi ? known : known.slice(0, 1)
  if (values.length) return values
  if (variable.include_all) return [ALL]
  return offered?.length ? [offered[0] ?? ''] : []
}

const LABEL_VALUES = /^label_values\(\s*(?:(.+),\s*)?([A-Za-z_]\w*)\s*\)$/

/** Return the selector and the label of `label_values(selector, label)`. */
export function readLabelValues(query: string): { selector: string; label: string } | undefined {
  const match = LABEL_VALUES.exec(query.trim())
  return match ? { selector: match[1]?.trim() ?? '', label: match[2] ?? '' } : undefined
}

/** Return the names of the variables in a text. */
export function namesIn(text: string): Set<string> {
  return new Set([...text.matchAll(NAMED)].map((match) => match[1] ?? match[3] ?? ''))
}
