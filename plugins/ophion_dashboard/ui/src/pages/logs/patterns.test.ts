import { describe, expect, it } from 'vitest'
import { mask, patterns, searchOf } from './patterns'

describe('mask', () => {
  it('leaves out what varies', () => {
    expect(mask('GET /cart/17 took 3.5 ms from 10.0.0.7:443')).toBe('GET /cart/<n> took <n> ms from <address>')
    expect(mask('order 7b0c6a52-0c8e-4a4e-9a39-0d6f1c2b3a4d "x y"')).toBe('order <uuid> <text>')
    expect(mask('at 2026-05-01T10:00:00.5Z')).toBe('at <time>')
  })
})

describe('patterns', () => {
  it('groups lines and counts them', () => {
    const line = (body: string) => ({ body, severity: 'info', service: 'a' })
    const found = patterns([line('took 3 ms'), line('stopped'), line('took 5 ms')])
    expect(found.map((one) => [one.pattern, one.count])).toEqual([
      ['took <n> ms', 2],
      ['stopped', 1],
    ])
  })
})

describe('searchOf', () => {
  it('keeps plain words', () => {
    expect(searchOf('took <n> ms for <id>, ok')).toBe('took ms for ok')
  })
})
