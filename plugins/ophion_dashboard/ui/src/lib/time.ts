/** Time ranges as they stand in URLs, and the clock text of a point in time. Times are Unix milliseconds. */

export interface Range {
  start: number
  end: number
}

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }
const UNIT_NAMES: Record<string, string> = { s: 'seconds', m: 'minutes', h: 'hours', d: 'days', w: 'weeks' }
const RELATIVE = /^now(?:-(\d{1,6})([smhdw]))?$/

export const DEFAULT_FROM = 'now-1h'
export const DEFAULT_TO = 'now'

export const QUICK_RANGES = [
  ['now-5m', 'Last 5 minutes'],
  ['now-15m', 'Last 15 minutes'],
  ['now-30m', 'Last 30 minutes'],
  ['now-1h', 'Last hour'],
  ['now-3h', 'Last 3 hours'],
  ['now-6h', 'Last 6 hours'],
  ['now-12h', 'Last 12 hours'],
  ['now-24h', 'Last 24 hours'],
  ['now-2d', 'Last 2 days'],
  ['now-7d', 'Last 7 days'],
  ['now-14d', 'Last 14 days'],
  ['now-30d', 'Last 30 days'],
] as const

/** Return the milliseconds that `text` means, or undefined: `now-15m`, Unix milliseconds, or an ISO time. */
export function parseTime(text: string, now: number): number | undefined {
  const relative = RELATIVE.exec(text.trim())
  if (relative) return now - Number(relative[1] ?? 0) * (UNITS[relative[2] ?? 's'] ?? 0)
  if (/^\d{12,14}$/.test(text)) return Number(text)
  const parsed = Date.parse(text)
  return Number.isNaN(parsed) ? undefined : parsed
}

/** Return the range of two texts; what cannot be read, or runs backwards, becomes the last hour. */
export function resolveRange(from: string, to: string, now: number): Range {
  const start = parseTime(from, now)
  const end = parseTime(to, now)
  return start === undefined || end === undefined || start >= end ? { start: now - HOUR, end: now } : { start, end }
}

export function isRelative(to: string): boolean {
  return RELATIVE.test(to)
}

/** Return a step in seconds that gives about `points` points over a range. */
export function niceStep(range: Range, points = 240): number {
  const wanted = (range.end - range.start) / SECOND / points
  return [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].find((step) => step >= wanted) ?? 86400
}

export type Zone = 'local' | 'utc'

/** Return `2026-05-01 12:30:05.123` in a zone; `digits` after the second. */
export function clock(ms: number, zone: Zone, digits: 0 | 3 = 0): string {
  const moved = new Date(zone === 'utc' ? ms : ms - new Date(ms).getTimezoneOffset() * MINUTE)
  if (Number.isNaN(moved.getTime())) return '-'
  return moved.toISOString().slice(0, digits ? 23 : 19).replace('T', ' ')
}

/** Return the text under a chart's axis, `step` seconds from the text before it: a day where one begins, otherwise a time. */
export function axisTime(seconds: number, before: number | undefined, step: number, zone: Zone): string {
  const text = clock(seconds * SECOND, zone)
  const isNewDay = before !== undefined && clock(before * SECOND, zone).slice(0, 10) !== text.slice(0, 10)
  if (isNewDay || step >= 86_400) return text.slice(5, 10)
  return step < 60 ? text.slice(11, 19) : text.slice(11, 16)
}

/** Return the label of a range as people say it. */
export function rangeLabel(from: string, to: string, zone: Zone): string {
  const quick = to === 'now' && QUICK_RANGES.find(([text]) => text === from)
  if (quick) return quick[1]
  const back = to === 'now' ? RELATIVE.exec(from) : null
  if (back?.[1]) return `Last ${back[1]} ${UNIT_NAMES[back[2] ?? ''] ?? ''}`
  return `${bound(from, zone)} to ${bound(to, zone)}`
}

function bound(text: string, zone: Zone): string {
  if (isRelative(text)) return text
  const ms = parseTime(text, 0)
  return ms === undefined ? text : clock(ms, zone)
}

/** Return how long ago a time was: `12 s ago`, `3 h ago`. */
export function ago(ms: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - ms) / SECOND))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} d ago`
}
