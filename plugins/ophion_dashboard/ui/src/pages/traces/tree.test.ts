import { describe, expect, it } from 'vitest'
import { explain, isWarning, traceNotes } from './oddities'
import { randomTraces, spanOf } from './samples'
import { ancestors, buildTree } from './tree'

describe('buildTree', () => {
  it('places children below their parents by start', () => {
    const tree = buildTree([spanOf('a', '', 0, 10), spanOf('c', 'a', 5, 2), spanOf('b', 'a', 1, 2), spanOf('d', 'b', 1, 1)])
    expect(tree.order.map((index) => tree.nodes[index]?.span.span_id)).toEqual(['a', 'b', 'd', 'c'])
    expect(tree.nodes.map((node) => node.depth)).toEqual([0, 1, 1, 2])
    expect(tree.nodes.map((node) => node.below)).toEqual([3, 0, 1, 0])
    expect(ancestors(tree, 3)).toEqual([0, 2, 3])
    expect(tree.deepest).toBe(2)
  })

  it('holds every span once, each after its parent, whatever the trace looks like', () => {
    for (const spans of randomTraces()) {
      const tree = buildTree(spans)
      expect(new Set(tree.order).size).toBe(spans.length)
      const seen = new Set<number>()
      for (const index of tree.order) {
        const node = tree.nodes[index]
        expect(node && (node.parent === -1 || seen.has(node.parent))).toBe(true)
        seen.add(index)
      }
      expect(tree.roots.reduce((sum, root) => sum + 1 + (tree.nodes[root]?.below ?? 0), 0)).toBe(spans.length)
    }
  })

  it('survives an empty trace', () => {
    const tree = buildTree([])
    expect([tree.order, tree.main, tree.end - tree.start > 0]).toEqual([[], -1, true])
    expect(traceNotes(tree)).toEqual([])
  })

  it('bears chains of 20,000 spans', () => {
    const spans = Array.from({ length: 20_000 }, (_, number) => spanOf(`s${number}`, number ? `s${number - 1}` : '', number, 20_000))
    expect(buildTree(spans).deepest).toBe(19_999)
  })
})

describe('odd traces', () => {
  const oddities = (spans: Parameters<typeof buildTree>[0]) => buildTree(spans).nodes.map((node) => node.oddities)

  it('shows a span whose parent is missing at the top and says so', () => {
    const tree = buildTree([spanOf('a', 'gone', 0, 5), spanOf('b', 'gone', 1, 9)])
    expect(tree.roots).toEqual([0, 1])
    expect(tree.main).toBe(1)
    expect(traceNotes(tree)).toEqual([
      'The root span is missing: it has not ended yet, was lost, or was not sampled.',
      '2 spans without the parent they name, shown at the top level.',
    ])
  })

  it('tells clocks that differ from work that nobody waited for', () => {
    const found = oddities([spanOf('a', '', 10, 10), spanOf('b', 'a', 5, 3), spanOf('c', 'a', 15, 30), spanOf('d', 'a', 25, 1)])
    expect(found).toEqual([[], ['early'], ['overrun'], ['late']])
    expect(found.flat().map(isWarning)).toEqual([true, false, false])
  })

  it('calls a parent without duration unfinished, and blames its children for nothing', () => {
    expect(oddities([spanOf('a', '', 0, 0), spanOf('b', 'a', 5, 3)])).toEqual([['unfinished'], []])
  })

  it('cuts circles', () => {
    const tree = buildTree([spanOf('a', 'c', 0, 5), spanOf('b', 'a', 1, 3), spanOf('c', 'b', 2, 1), spanOf('d', 'd', 3, 1)])
    expect(tree.order).toHaveLength(4)
    expect(tree.nodes.filter((node) => node.oddities.includes('cycle')).map((node) => node.span.span_id)).toEqual(['a', 'd'])
    expect(traceNotes(tree)).toContain('2 spans whose parents run in a circle.')
  })

  it('keeps spans with the same id apart', () => {
    const tree = buildTree([spanOf('a', '', 0, 5), spanOf('a', '', 1, 3), spanOf('b', 'a', 1, 1)])
    expect(tree.nodes.map((node) => node.children)).toEqual([[2], [], []])
    expect(tree.nodes[1]?.oddities).toEqual(['duplicate'])
  })

  it('explains every oddity with figures', () => {
    const tree = buildTree([spanOf('a', '', 10, 10), spanOf('b', 'a', 4, 3), spanOf('c', 'a', 15, 30)])
    expect(explain(tree.nodes[1] as never, 'early', tree.nodes[0])).toContain('6 ms before its parent')
    expect(explain(tree.nodes[2] as never, 'overrun', tree.nodes[0])).toContain('25 ms after its parent has ended')
  })
})
