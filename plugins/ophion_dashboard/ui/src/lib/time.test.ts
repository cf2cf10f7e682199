import { describe, expect, it } from 'vitest'
import { ago, axisTime, clock, HOUR, MINUTE, niceStep, parseTime, rangeLabel, resolveRange } from './time'

const NOW = Date.UTC(2026, 4, 1, 12, 0, 0)

describe('parseTime', () => {
  it('reads relative times, milliseconds and ISO times', () => {
    expect(parseTime('now', NOW)).toBe(NOW)
    expect(parseTime('now-15m', NOW)).toBe(NOW - 15 * MINUTE)
    expect(parseTime('1777636800000', NOW)).toBe(1777636800000)
    expect(parseTime('2026-05-01T11:00:00Z', NOW)).toBe(NOW - HOUR)
    expect(parseTime('yesterday-ish', NOW)).toBeUndefined()
  })
})

describe('resolveRange', () => {
  it('falls back to the last hour for what cannot be', () => {
    expect(resolveRange('now-2h', 'now', NOW)).toEqual({ start: NOW - 2 * HOUR, end: NOW })
    expect(resolveRange('now', 'now-2h', NOW)).toEqual({ start: NOW - HOUR, end: NOW })
    expect(resolveRange('<script>', 'now', NOW)).toEqual({ start: NOW - HOUR, end: NOW })
  })
})

describe('niceStep', () => {
  it('gives a step that people know', () => {
    expect(niceStep({ start: 0, end: HOUR })).toBe(15)
    expect(niceStep({ start: 0, end: 30 * 24 * HOUR })).toBe(14400)
  })
})

describe('clock', () => {
  it('writes UTC and local times', () => {
    expect(clock(NOW + 5, 'utc', 3)).toBe('2026-05-01 12:00:00.005')
    expect(clock(Number.NaN, 'utc')).toBe('-')
  })
})

describe('axisTime', () => {
  it('shows the day where one begins', () => {
    const midnight = Date.UTC(2026, 4, 2) / 1000
    expect(axisTime(midnight - 3600, undefined, 3600, 'utc')).toBe('23:00')
    expect(axisTime(midnight, midnight - 3600, 3600, 'utc')).toBe('05-02')
    expect(axisTime(midnight + 5, midnight, 5, 'utc')).toBe('00:00:05')
  })
})

describe('rangeLabel', () => {
  it('names quick ranges', () => {
    expect(rangeLabel('now-1h', 'now', 'utc')).toBe('Last hour')
    expect(rangeLabel('now-42m', 'now', 'utc')).toBe('Last 42 minutes')
    expect(rangeLabel('now-2h', 'now-1h', 'utc')).toBe('now-2h to now-1h')
  })
})

describe('ago', () => {
  it('rounds as people do', () => {
    expect(ago(NOW - 12_000, NOW)).toBe('12 s ago')
    expect(ago(NOW - 3 * HOUR, NOW)).toBe('3 h ago')
  })
})
