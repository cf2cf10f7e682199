import { describe, expect, it } from 'vitest'
import { parseSearch } from '@/lib/search'
import { apiQuery, chipsOf, conditionFor, curlOf, filtersOf, readDuration, splitCondition, withoutFilters, writeDuration } from './filters'
import { randomOf } from './samples'
import { boxed, durationTicks, nearest, scaleOf, timeTicks, toDuration, toTime, toX, toY, type Point } from './scatterScale'
import { compareSearch, traceSearch, tracesSearch } from './search'

describe('search of the URL', () => {
  it('reads what it knows and drops the rest', () => {
    const read = tracesSearch(parseSearch('?service=shop&status=bad&kind=server&kind=client&kind=none&attr=a=1&attr=b&root=true&pick=1&pick=2&pick=3&sort=longest'))
    expect(read).toMatchObject({ service: ['shop'], status: undefined, kind: ['server', 'client'], attr: ['a=1', 'b'], root: true, pick: ['1', '2'], sort: 'longest' })
    expect(traceSearch(parseSearch('?tab=nothing&span=ab&find=x'))).toEqual({ tab: undefined, span: 'ab', find: 'x', view: undefined })
    expect(compareSearch(parseSearch('?a=1&b=2'))).toEqual({ a: '1', b: '2' })
  })
})

describe('filters', () => {
  const search = { service: ['shop', 'till'], attr: ['a=1', 'b>2'], root: true as const, sort: 'longest' as const, pick: ['x'] }

  it('makes a chip of each, which removes it alone', () => {
    const chips = chipsOf(search)
    expect(chips.map((chip) => chip.text)).toEqual(['service shop', 'service till', 'root spans only', 'a=1', 'b>2'])
    expect({ ...search, ...chips[0]?.remove }.service).toEqual(['till'])
    expect({ ...search, ...chips[3]?.remove }.attr).toEqual(['b>2'])
    expect(filtersOf(withoutFilters(search))).toEqual({})
    expect(withoutFilters(search).sort).toBe('longest')
  })

  it('asks the API for the same, also by curl', () => {
    const query = apiQuery(filtersOf(search), { start: 1, end: 2 }, { format: 'csv' })
    expect(query).toBe('from=1&to=2&service=shop&service=till&root=true&attr=a%3D1&attr=b%3E2&format=csv')
    expect(curlOf("http://x/?a='b'")).toBe(`curl -H "Authorization: Bearer $OPHION_API_KEY" 'http://x/?a='\\''b'\\'''`)
  })

  it('reads durations as people write them', () => {
    expect(['250', '1.5 s', '20µs', '1m30s'].map(readDuration)).toEqual(['250ms', '1.5s', '20us', '1m30s'])
    expect(['', 'fast', '-1s', '1 day'].map(readDuration)).toEqual([undefined, undefined, undefined, undefined])
    expect([0.00012, 0.0312, 5, 1234.5].map(writeDuration)).toEqual(['120ns', '31.2us', '5ms', '1.23s'])
    const random = randomOf(5)
    for (let round = 0; round < 200; round += 1) expect(readDuration(writeDuration(10 ** (random() * 10 - 5)))).toBeDefined()
  })

  it('splits conditions and writes them', () => {
    expect(splitCondition('http.status>=500')).toEqual({ key: 'http.status', operator: '>=', value: '500' })
    expect(splitCondition('url=~^/a=b')).toEqual({ key: 'url', operator: '=~', value: '^/a=b' })
    expect(splitCondition('http.')).toEqual({ key: 'http.', operator: '', value: '' })
    expect([conditionFor('a', 5), conditionFor('host.name', 'web', true)]).toEqual(['a=5', 'resource.host.name=web'])
  })
})

describe('scatter', () => {
  const random = randomOf(9)
  const range = { start: 1_700_000_000_000, end: 1_700_003_600_000 }
  const points: Point[] = Array.from({ length: 300 }, (_, number) => ({ id: `t${number}`, time: range.start + random() * 3_600_000, duration: 10 ** (random() * 5 - 2), failed: number % 7 === 0, label: '' }))
  const scale = scaleOf(points, range, { width: 900, height: 220 })

  it('finds each point where it is drawn, and back', () => {
    for (const point of points) {
      const [x, y] = [toX(scale, point.time), toY(scale, point.duration)]
      expect(x >= 0 && x <= 900 && y >= 0 && y <= 220).toBe(true)
      expect(toTime(scale, x)).toBeCloseTo(point.time, 0)
      expect(toDuration(scale, y) / point.duration).toBeCloseTo(1, 6)
      expect(nearest(scale, points, x, y)).toBeDefined()
    }
    expect(nearest(scale, points, -50, -50)).toBeUndefined()
  })

  it('makes filters of a box that hold the points inside it and no others', () => {
    for (let round = 0; round < 50; round += 1) {
      const from = { x: 58 + random() * 800, y: 8 + random() * 180 }
      const to = { x: 58 + random() * 800, y: 8 + random() * 180 }
      const chosen = boxed(scale, from, to)
      if (!chosen) continue
      expect(chosen.range.start).toBeLessThan(chosen.range.end)
      expect(chosen.least).toBeLessThanOrEqual(chosen.most)
      const inside = points.filter((point) => point.duration >= chosen.least && point.duration <= chosen.most)
      expect(inside.every((point) => toY(scale, point.duration) >= Math.min(from.y, to.y) - 0.01 && toY(scale, point.duration) <= Math.max(from.y, to.y) + 0.01)).toBe(true)
    }
    expect(boxed(scale, { x: 100, y: 100 }, { x: 102, y: 101 })).toBeUndefined()
  })

  it('labels its axes with round values, with and without points', () => {
    expect(durationTicks(scale).map((tick) => tick.label)).toContain('100 ms')
    expect(durationTicks(scaleOf([], range, { width: 1, height: 1 })).length).toBeGreaterThan(1)
    const times = timeTicks(scale, 3_600_000)
    expect(times.length).toBeGreaterThan(3)
    expect(times.every((time) => time >= range.start && time <= range.end && time % 60_000 === 0)).toBe(true)
  })
})
