import { describe, expect, it } from 'vitest'
import { flag, list, number, oneOf, parseSearch, stringifySearch, text } from './search'

describe('search of URLs', () => {
  it('goes there and back', () => {
    const search = { q: 'a b&c=d', service: ['x', 'y'], from: 'now-1h', n: '007' }
    expect(parseSearch(stringifySearch(search))).toEqual(search)
  })

  it('leaves out what is not set', () => {
    expect(stringifySearch({ a: undefined, b: '', c: null })).toBe('')
    expect(stringifySearch({ live: true, n: 3 })).toBe('?live=true&n=3')
  })
})

describe('readers', () => {
  it('take what can be, and nothing else', () => {
    expect(text(['a', 'b'])).toBe('a')
    expect(list('a')).toEqual(['a'])
    expect(list(undefined)).toBeUndefined()
    expect(number('12')).toBe(12)
    expect(number('x')).toBeUndefined()
    expect(flag('true')).toBe(true)
    expect(flag('yes')).toBeUndefined()
    expect(oneOf('b', ['a', 'b'] as const)).toBe('b')
    expect(oneOf('c', ['a', 'b'] as const)).toBeUndefined()
  })
})
