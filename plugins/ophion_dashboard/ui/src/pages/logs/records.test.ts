import { describe, expect, it } from 'vitest'
import { bodyText, later } from './records'

describe('later', () => {
  it('counts nanoseconds exactly', () => {
    expect(later('2026-01-31T08:00:00.123456789Z', 1n)).toBe('2026-01-31T08:00:00.123456790Z')
    expect(later('2026-01-31T08:00:00.999999999Z', 1n)).toBe('2026-01-31T08:00:01.000000000Z')
    expect(later('2026-01-31T08:00:00.000000000Z', -1n)).toBe('2026-01-31T07:59:59.999999999Z')
  })
})

describe('bodyText', () => {
  it('shows any value', () => {
    expect(bodyText('a')).toBe('a')
    expect(bodyText({ a: 1 })).toBe('{"a":1}')
    expect(bodyText(null)).toBe('')
  })
})
