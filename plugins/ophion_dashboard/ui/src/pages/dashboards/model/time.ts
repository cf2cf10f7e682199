/** The time of a dashboard, as its file says it and as URLs do. */
import { DAY, HOUR, isRelative, MINUTE, SECOND, type Range } from '@/lib/time'

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }

/** Return a moment as URLs have it: `now/d` becomes the milliseconds at which the day began here. */
export function toUrl(moment: string, now: number): string {
  const [base = '', unit] = moment.split('/')
  if (!unit) return isRelative(base) ? base : String(Date.parse(base))
  const match = /^now(?:-(\d+)([smhdw]))?$/.exec(base)
  const at = new Date(now - Number(match?.[1] ?? 0) * (UNITS[match?.[2] ?? 's'] ?? 0))
  const begin = unit === 'd' || unit === 'w' ? new Date(at.getFullYear(), at.getMonth(), at.getDate() - (unit === 'w' ? (at.getDay() + 6) % 7 : 0)) : at
  return String(unit === 'd' || unit === 'w' ? begin.getTime() : Math.floor(at.getTime() / (UNITS[unit] ?? 1)) * (UNITS[unit] ?? 1))
}

/** Return a moment of a URL as the file has it. */
export function toFile(moment: string): string {
  return isRelative(moment) ? moment : iso(Number(moment))
}

export function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** Return the seconds of `30s` or `1h30m`; 0 for none. */
export function refreshSeconds(refresh: string | null): number {
  const parts = [...(refresh ?? '').matchAll(/(\d+)(ms|[smhdw])/g)]
  return Math.round(parts.reduce((sum, [, count, unit = 's']) => sum + (Number(count) * (unit === 'ms' ? 1 : (UNITS[unit] ?? 0))) / SECOND, 0))
}

export function fixed(range: Range): { from: string; to: string } {
  return { from: String(Math.floor(range.start)), to: String(Math.ceil(range.end)) }
}
