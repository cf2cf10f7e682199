import type { SchemaLogRecord } from '@/api/client'
import { DAY } from '@/lib/time'

export type Level = SchemaLogRecord['severity']

/** A record with the attributes of its resource. */
export interface Entry extends Omit<SchemaLogRecord, 'resource'> {
  resource: Record<string, unknown>
}

export const LEVELS: readonly Level[] = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'unspecified']


export function entryKey(entry: Pick<Entry, 'time' | 'id'>): string {
  return `${entry.time} ${entry.id}`
}

/** Return the body as one text. */
export function bodyText(body: unknown): string {
  return typeof body === 'string' ? body : body === null || body === undefined ? '' : JSON.stringify(body)
}

/** Return Unix milliseconds of an RFC 3339 time with nanoseconds. */
export function milliseconds(time: string): number {
  return Date.parse(time)
}

/** Return the time `nanoseconds` later, exactly; times of the API have nine digits. */
export function later(time: string, nanoseconds: bigint): string {
  const [seconds = '', fraction = ''] = time.replace('Z', '').split('.')
  const whole = BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0')) + nanoseconds
  const rest = String(((whole % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n).padStart(9, '0')
  return `${new Date(Number(whole / 1_000_000n)).toISOString().slice(0, 19)}.${rest}Z`
}

export const CONTEXT_REACH_MS = DAY
