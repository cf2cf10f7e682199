import { expect, it } from 'vitest'
import { refreshSeconds, toFile, toUrl } from './time'

it('translates moments between files and URLs', () => {
  const now = new Date(2026, 4, 6, 13, 30).getTime()
  expect(toUrl('now-6h', now)).toBe('now-6h')
  expect(toUrl('now', now)).toBe('now')
  expect(toUrl('now/d', now)).toBe(String(new Date(2026, 4, 6).getTime()))
  expect(toUrl('now-1d/d', now)).toBe(String(new Date(2026, 4, 5).getTime()))
  expect(toUrl('now/w', now)).toBe(String(new Date(2026, 4, 4).getTime()))
  expect(toUrl('2026-01-31T08:00:00Z', now)).toBe(String(Date.UTC(2026, 0, 31, 8)))
  expect(toFile('now-1h')).toBe('now-1h')
  expect(toFile(String(Date.UTC(2026, 0, 31, 8)))).toBe('2026-01-31T08:00:00.000Z')
})

it('reads the time between two updates', () => {
  expect(refreshSeconds('1h30m')).toBe(5400)
  expect(refreshSeconds('30s')).toBe(30)
  expect(refreshSeconds(null)).toBe(0)
})
