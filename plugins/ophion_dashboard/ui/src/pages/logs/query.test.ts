import { describe, expect, it } from 'vitest'
import { filters, term, withTerm } from './query'

describe('term', () => {
  it('quotes what is no plain word', () => {
    expect(term('service', 'checkout')).toBe('service:checkout')
    expect(term('url', 'a b')).toBe('url:"a b"')
    expect(term('said', 'a "b" \\')).toBe('said:"a \\"b\\" \\\\"')
    expect(term('http.status_code', 500)).toBe('http.status_code:500')
  })
})

describe('withTerm', () => {
  it('adds a term once', () => {
    expect(withTerm('', 'a:1')).toBe('a:1')
    expect(withTerm('timeout', 'a:1')).toBe('timeout a:1')
    expect(withTerm('timeout a:1', 'a:1')).toBe('timeout a:1')
  })

  it('takes the place of its opposite', () => {
    expect(withTerm('timeout -a:1', 'a:1')).toBe('timeout a:1')
    expect(withTerm('a:1 timeout', 'a:1', true)).toBe('timeout -a:1')
  })
})

describe('filters', () => {
  it('joins services by OR and keeps the text together', () => {
    expect(filters({ q: 'a OR b', service: ['x', 'y z'] }).query).toBe('(a OR b) (service:x OR service:"y z")')
    expect(filters({ q: 'a', service: ['x'] }).query).toBe('a service:x')
    expect(filters({}).query).toBe('')
  })

  it('leaves out a trace id that is none', () => {
    expect(filters({ trace: 'nonsense' }).trace_id).toBeUndefined()
    expect(filters({ trace: 'a'.repeat(32) }).trace_id).toBe('a'.repeat(32))
  })
})
