import { describe, expect, it } from 'vitest'
import { criticalPath, segmentsBySpan } from './critical'
import { diffTraces, signed, summarise } from './diff'
import { findSpans, nextMatch } from './find'
import { randomTraces, spanOf } from './samples'
import { byOperation, byService, operationKey, selfTimes } from './times'
import { buildTree } from './tree'

const ms = (value: number) => `${Math.round(value)} ms`

describe('criticalPath', () => {
  const pathOf = (spans: Parameters<typeof buildTree>[0]) => {
    const tree = buildTree(spans)
    return criticalPath(tree).map(({ index, start, end }) => [tree.nodes[index]?.span.span_id, start, end])
  }

  it('waits for the child that ended last, and back from its start for the one before', () => {
    const found = pathOf([spanOf('a', '', 0, 100), spanOf('b', 'a', 10, 30), spanOf('c', 'a', 20, 40), spanOf('d', 'a', 65, 30)])
    expect(found).toEqual([
      ['a', 0, 10],
      ['b', 10, 20],
      ['c', 20, 60],
      ['a', 60, 65],
      ['d', 65, 95],
      ['a', 95, 100],
    ])
  })

  it('does not count what runs on after the parent', () => {
    expect(pathOf([spanOf('a', '', 0, 10), spanOf('b', 'a', 5, 100)])).toEqual([
      ['a', 0, 5],
      ['b', 5, 10],
    ])
  })

  it('fills the longest root without gap or overlap, whatever the trace looks like', () => {
    for (const spans of randomTraces()) {
      const tree = buildTree(spans)
      const path = criticalPath(tree)
      const root = tree.nodes[tree.main]
      let reached = root?.start ?? 0
      for (const segment of path) {
        expect(segment.start).toBeCloseTo(reached, 6)
        const node = tree.nodes[segment.index]
        expect(node && segment.start >= node.start - 1e-9 && segment.end <= node.end + 1e-9).toBe(true)
        reached = segment.end
      }
      expect(reached).toBeCloseTo(root?.end ?? 0, 6)
      const grouped = segmentsBySpan(path)
      expect([...grouped.values()].flat()).toHaveLength(path.length)
    }
  })

  it('is empty without spans and bears a chain of 20,000', () => {
    expect(criticalPath(buildTree([]))).toEqual([])
    const chain = Array.from({ length: 20_000 }, (_, number) => spanOf(`s${number}`, number ? `s${number - 1}` : '', number / 2, 20_000 - number))
    expect(criticalPath(buildTree(chain)).length).toBeGreaterThan(20_000)
  })
})

describe('times', () => {
  it('takes the union of children from a span', () => {
    const tree = buildTree([spanOf('a', '', 0, 100), spanOf('b', 'a', 10, 30), spanOf('c', 'a', 20, 40), spanOf('d', 'a', 90, 50)])
    expect([...selfTimes(tree)]).toEqual([40, 30, 40, 50])
  })

  it('lies between nothing and the whole duration', () => {
    for (const spans of randomTraces()) {
      const tree = buildTree(spans)
      const self = selfTimes(tree)
      expect(tree.nodes.every((node) => (self[node.index] ?? -1) >= 0 && (self[node.index] ?? 0) <= node.end - node.start + 1e-9)).toBe(true)
    }
  })

  it('adds operations up', () => {
    for (const spans of randomTraces(20)) {
      const tree = buildTree(spans)
      const self = selfTimes(tree)
      const figures = byOperation(tree, self, new Map())
      expect(figures.reduce((sum, one) => sum + one.count, 0)).toBe(spans.length)
      expect(figures.reduce((sum, one) => sum + one.self, 0)).toBeCloseTo(self.reduce((sum, one) => sum + one, 0), 6)
      expect(figures.every((one) => one.mean <= one.longest + 1e-9)).toBe(true)
      const services = byService(tree, () => 1)
      expect(services.reduce((sum, one) => sum + one.value, 0)).toBe(spans.length)
    }
  })

  it('keys operations so that no two meet', () => {
    expect(operationKey('a', 'b c')).not.toBe(operationKey('a b', 'c'))
  })
})

describe('diffTraces', () => {
  const diff = (one: Parameters<typeof buildTree>[0], other: Parameters<typeof buildTree>[0]) => {
    const a = buildTree(one)
    const b = buildTree(other)
    return diffTraces(a, selfTimes(a), b, selfTimes(b))
  }
  const named = (id: string, parent: string, start: number, took: number, name: string) => spanOf(id, parent, start, took, { name })

  it('tells what was added, is missing, and took longer', () => {
    const before = [named('1', '', 0, 100, 'root'), named('2', '1', 0, 50, 'db'), named('3', '1', 60, 10, 'cache')]
    const after = [named('1', '', 0, 300, 'root'), named('2', '1', 0, 50, 'db'), named('4', '1', 50, 200, 'db'), named('5', '1', 260, 5, 'queue')]
    const found = diff(before, after)
    expect(found.map((one) => [one.name, one.countA, one.countB, one.difference, one.change])).toEqual([
      ['db', 1, 2, 200, 'slower'],
      ['cache', 1, 0, -10, 'missing'],
      ['root', 1, 1, 5, 'slower'],
      ['queue', 0, 1, 5, 'added'],
    ])
    expect(summarise(found, 100, 300, ms)).toContain('B takes 200 ms longer than A (300 ms instead of 100 ms). Most of it is db of shop: +200 ms.')
    expect(summarise(found, 100, 300, ms)).toMatch(/1 added, 1 missing/)
  })

  it('finds nothing between a trace and itself, and mirrors when sides are changed', () => {
    const traces = [...randomTraces(20)]
    traces.forEach((spans, at) => {
      expect(diff(spans, spans).every((one) => one.change === 'same' && one.difference === 0 && one.countA === one.countB)).toBe(true)
      const other = traces[(at + 1) % traces.length] ?? []
      const there = diff(spans, other)
      const back = diff(other, spans)
      expect(back).toHaveLength(there.length)
      expect(there.reduce((sum, one) => sum + one.countA, 0)).toBe(spans.length)
      expect(there.reduce((sum, one) => sum + one.difference, 0)).toBeCloseTo(-back.reduce((sum, one) => sum + one.difference, 0), 6)
      expect(there.filter((one) => one.change === 'added').length).toBe(back.filter((one) => one.change === 'missing').length)
    })
  })

  it('says when two traces are alike', () => {
    const spans = [named('1', '', 0, 100, 'root')]
    expect(summarise(diff(spans, spans), 100, 101, ms)).toBe('B takes about as long as A (101 ms and 100 ms). Both have the same operations.')
    const other = [named('1', '', 0, 300, 'job')]
    expect(summarise(diff(spans, other), 100, 300, ms)).toBe('B takes 200 ms longer than A (300 ms instead of 100 ms). The two have no operation in common.')
    expect([signed(5, ms), signed(-5, ms)]).toEqual(['+5 ms', '−5 ms'])
  })
})

describe('find', () => {
  const tree = buildTree([
    spanOf('a', '', 0, 10, { name: 'GET /cart' }),
    spanOf('b', 'a', 1, 1, { status: 'error', attributes: { 'http.status': 500 } }),
    spanOf('c', 'a', 3, 1, { events: [{ name: 'exception', offset_ms: 3, attributes: { 'exception.type': 'CardDeclined' } }] }),
  ])
  const resources = [{ attributes: { 'host.name': 'web-1' } }]

  it('looks at names, attributes, events, states and resources; every word must match', () => {
    expect(findSpans(tree, 'cart')).toEqual([0])
    expect(findSpans(tree, 'error')).toEqual([1])
    expect(findSpans(tree, 'http.status=500')).toEqual([1])
    expect(findSpans(tree, 'carddeclined')).toEqual([2])
    expect(findSpans(tree, 'host.name=web-1 cart', resources)).toEqual([0])
    expect(findSpans(tree, 'cart 500')).toEqual([])
    expect(findSpans(tree, '  ')).toEqual([])
  })

  it('goes round in both directions', () => {
    expect([nextMatch(tree, [0, 2], 0), nextMatch(tree, [0, 2], 2), nextMatch(tree, [0, 2], 2, true), nextMatch(tree, [0, 2], 0, true)]).toEqual([2, 0, 0, 2])
    expect([nextMatch(tree, [1], undefined), nextMatch(tree, [], 1)]).toEqual([1, undefined])
  })
})
