import { describe, expect, it } from 'vitest'
import { eitherWay, lines, mirrored, points, quoted, selector, value, windowOf } from './promql'

const series = (labels: Record<string, string>, ...samples: [number, number | string][]) => ({ labels, points: samples })

describe('selectors', () => {
  it('quotes what a name can hold', () => {
    expect(quoted('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"')
    expect(selector({ host_name: 'web-1' }, 'state!="idle"')).toBe('{host_name="web-1", state!="idle"}')
    expect(selector({})).toBe('{}')
  })

  it('has a window of at least two samples', () => {
    expect([windowOf(15), windowOf(600)]).toEqual(['120s', '600s'])
  })
})

describe('results', () => {
  it('breaks a line where steps are missing', () => {
    expect(points(series({}, [10, 1], [20, 2], [50, 3]), 10)).toEqual([[10, 1], [20, 2], [30, null], [50, 3]])
  })

  it('reads numbers that JSON does not have', () => {
    expect([value('NaN'), value('Infinity'), value(2)]).toEqual([Number.NaN, Infinity, 2])
  })

  it('names lines by labels and orders them as people count', () => {
    const found = lines({ query: 'x', name: (labels) => labels.device ?? '' }, [series({ device: 'eth10' }), series({ device: 'eth2' })], 10)
    expect(found.map((line) => line.name)).toEqual(['eth2', 'eth10'])
    expect(new Set(found.map((line) => line.key)).size).toBe(2)
  })

  it('turns a line over', () => {
    const line = { key: 'x', points: [[10, 1], [20, null], [30, 3]] as [number, number | null][] }
    expect(eitherWay(-2048)).toBe('2 KiB/s')
    expect(mirrored(line).points).toEqual([[10, -1], [20, null], [30, -3]])
  })
})
