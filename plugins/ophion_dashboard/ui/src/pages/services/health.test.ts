import { expect, it } from 'vitest'
import { healthOf, healthText } from './health'

it.each([
  [{ rate: 0, error_rate: 0, p95_ms: 0 }, 'idle', 'no requests'],
  [{ rate: 1, error_rate: 0, p95_ms: 30 }, 'ok', 'healthy'],
  [{ rate: 1, error_rate: 0.02, p95_ms: 30 }, 'warn', 'some errors'],
  [{ rate: 1, error_rate: 0, p95_ms: 1500 }, 'warn', 'slow'],
  [{ rate: 1, error_rate: 0.2, p95_ms: 1500 }, 'bad', 'many errors'],
] as const)('tells how %j is', (figures, health, text) => {
  expect(healthOf(figures)).toBe(health)
  expect(healthText(figures)).toBe(text)
})
