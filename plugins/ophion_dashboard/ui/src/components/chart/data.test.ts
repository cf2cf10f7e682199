import { describe, expect, it } from 'vitest'
import { aligned, describe as describeLines, stacked, summarise } from './data'

describe('aligned', () => {
  it('puts lines on common times', () => {
    const data = aligned([
      { key: 'a', points: [[1, 10], [2, 20]] },
      { key: 'b', points: [[2, 5], [3, null]] },
    ])
    expect(Array.from(data[0])).toEqual([1, 2, 3])
    expect(data[1]?.[1]).toBe(20)
    expect(data[2]?.[1]).toBe(5)
    expect(data[2]?.[2]).toBeNull()
  })
})

describe('stacked', () => {
  it('adds up what is shown', () => {
    const data = stacked([[1, 2], [10, 20], [1, 2], [5, null]], [true, false, true])
    expect(data[1]).toEqual([10, 20])
    expect(data[2]).toEqual([1, 2])
    expect(data[3]).toEqual([15, 20])
  })
})

describe('summarise', () => {
  it('leaves gaps out', () => {
    expect(summarise([[1, 4], [2, null], [3, 2]])).toEqual({ last: 2, low: 2, high: 4, mean: 3, sum: 6 })
    expect(summarise([]).last).toBeNull()
  })
})

describe('describe', () => {
  it('says what a chart shows', () => {
    expect(describeLines('CPU', [{ key: 'a', points: [[1, 4]] }], String)).toBe('CPU: 1 line. a: now 4, between 4 and 4')
    expect(describeLines('CPU', [], String)).toBe('CPU: no data')
  })
})
