import type { Tone } from '@/components/Badge'

/** From these shares of failed requests a service is worth a look, and bad. */
export const ERRORS_WARN = 0.01
export const ERRORS_BAD = 0.05
/** From this 95th percentile (milliseconds) people wait. */
export const SLOW_MS = 1000

export type Health = 'ok' | 'warn' | 'bad' | 'idle'

interface Figures {
  rate: number
  error_rate: number
  p95_ms: number
}

/** Return how a service or a call is, by its failed share and its duration. */
export function healthOf({ rate, error_rate, p95_ms }: Figures): Health {
  if (rate <= 0) return 'idle'
  if (error_rate >= ERRORS_BAD) return 'bad'
  return error_rate >= ERRORS_WARN || p95_ms >= SLOW_MS ? 'warn' : 'ok'
}

/** Return why, in words. */
export function healthText(figures: Figures): string {
  const { error_rate, p95_ms } = figures
  const health = healthOf(figures)
  if (health === 'idle') return 'no requests'
  if (error_rate >= ERRORS_WARN) return health === 'bad' ? 'many errors' : 'some errors'
  return p95_ms >= SLOW_MS ? 'slow' : 'healthy'
}

export const TONES: Record<Health, Tone> = { ok: 'ok', warn: 'warn', bad: 'bad', idle: 'plain' }
