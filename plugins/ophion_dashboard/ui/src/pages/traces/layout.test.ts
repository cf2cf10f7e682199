import { describe, expect, it } from 'vitest'
import { mergedFlame, partsOf, pathTo, timeFlame, type Flame } from './flame'
import { collapsedBelow, moved, revealed, scrollFor, seen, visibleRows } from './rows'
import { randomOf, randomTraces, spanOf } from './samples'
import { selfTimes } from './times'
import { buildTree } from './tree'
import { barOf, clamped, panned, parseView, ticks, writeView, zoomed } from './view'

const small = buildTree([spanOf('a', '', 0, 10), spanOf('b', 'a', 0, 5), spanOf('c', 'b', 1, 2), spanOf('d', 'a', 6, 3)])

describe('rows', () => {
  it('leaves out what is below collapsed spans', () => {
    expect(visibleRows(small, new Set())).toEqual([0, 1, 2, 3])
    expect(visibleRows(small, new Set([1]))).toEqual([0, 1, 3])
    expect(visibleRows(small, new Set([0, 1]))).toEqual([0])
    expect(visibleRows(small, collapsedBelow(small, 1))).toEqual([0, 1, 3])
  })

  it('shows a span after it was revealed, and nothing that was hidden elsewhere', () => {
    for (const spans of randomTraces(30)) {
      const tree = buildTree(spans)
      const random = randomOf(spans.length)
      const collapsed = new Set(tree.nodes.filter(() => random() < 0.5).map((node) => node.index))
      const wanted = Math.floor(random() * tree.nodes.length)
      const next = revealed(tree, collapsed, wanted)
      expect(visibleRows(tree, next)).toContain(wanted)
      expect([...next].every((one) => collapsed.has(one))).toBe(true)
      expect(visibleRows(tree, collapsed)).toEqual(visibleRows(tree, collapsed).filter((one) => tree.order.includes(one)))
    }
  })

  it('moves within the rows', () => {
    expect([moved(0, 'up', 5, 10), moved(0, 'down', 5, 10), moved(2, 'pagedown', 5, 10), moved(4, 'first', 5, 10), moved(0, 'last', 5, 10)]).toEqual([0, 1, 4, 0, 4])
  })

  it('draws what is seen and scrolls no more than needed', () => {
    expect(seen(1000, 500, 25, 10_000, 8)).toEqual({ first: 32, last: 68 })
    expect(seen(0, 500, 25, 3)).toEqual({ first: 0, last: 3 })
    expect([scrollFor(0, 100, 500, 25), scrollFor(10, 100, 500, 25), scrollFor(40, 100, 500, 25)]).toEqual([0, 100, 525])
  })
})

describe('view', () => {
  const whole = { start: 0, end: 1000 }

  it('keeps the point under the pointer when zooming, and never leaves the trace', () => {
    expect(zoomed(whole, whole, 0.5, 0.25)).toEqual({ start: 125, end: 625 })
    expect(zoomed({ start: 0, end: 10 }, whole, 1000)).toEqual(whole)
    expect(panned({ start: 900, end: 1000 }, whole, 0.5)).toEqual({ start: 900, end: 1000 })
    expect(clamped({ start: -50, end: 50 }, whole)).toEqual({ start: 0, end: 100 })
  })

  it('goes through the URL', () => {
    expect(writeView(whole, whole)).toBeUndefined()
    expect(parseView(writeView({ start: 12.34567, end: 12.34999 }, whole), whole)).toEqual({ start: 12.34567, end: 12.34999 })
    for (const wrong of [undefined, '', 'x', '5', '9,3', 'NaN,1', '1,Infinity']) expect(parseView(wrong, whole)).toEqual(whole)
  })

  it('cuts bars at the edges and leaves out those outside', () => {
    expect(barOf(-100, 500, whole)).toEqual({ left: 0, width: 0.5 })
    expect(barOf(250, 250, whole)).toEqual({ left: 0.25, width: 0 })
    expect(barOf(1001, 1002, whole)).toBeUndefined()
  })

  it('has round ticks inside the view, at any zoom', () => {
    expect(ticks(whole, 5)).toEqual([0, 200, 400, 600, 800, 1000])
    for (let power = -4; power < 8; power += 1) {
      const view = { start: 3.3 * 10 ** power, end: 4.9 * 10 ** power }
      const found = ticks(view)
      expect(found.length).toBeGreaterThan(1)
      expect(found.every((one) => one >= view.start * 0.999 && one <= view.end * 1.001)).toBe(true)
    }
  })
})

describe('flame', () => {
  const overlaps = (flame: Flame) => {
    const rows = new Map<number, { left: number; right: number }[]>()
    for (const box of flame.boxes) rows.set(box.row, [...(rows.get(box.row) ?? []), box])
    return [...rows.values()].some((row) => {
      row.sort((one, other) => one.left - other.left || one.right - other.right)
      return row.some((box, at) => at > 0 && box.left < (row[at - 1]?.right ?? 0) - 1e-6)
    })
  }

  it('draws no box over another, over time or merged', () => {
    for (const spans of randomTraces()) {
      const tree = buildTree(spans)
      const self = selfTimes(tree)
      const byTime = timeFlame(tree, self)
      const merged = mergedFlame(tree, self)
      expect(byTime.boxes).toHaveLength(spans.length)
      expect([overlaps(byTime), overlaps(merged)]).toEqual([false, false])
      expect(byTime.boxes.every((box) => box.row < byTime.rows)).toBe(true)
    }
  })

  it('merges spans by path, each box as wide as its parts and its own time', () => {
    for (const spans of randomTraces()) {
      const tree = buildTree(spans)
      const self = selfTimes(tree)
      const merged = mergedFlame(tree, self)
      expect(merged.boxes.reduce((sum, box) => sum + box.count, 0)).toBe(spans.length)
      expect(merged.end).toBeCloseTo(self.reduce((sum, one) => sum + one, 0), 6)
      for (const box of merged.boxes) {
        const parts = partsOf(merged, box.id)
        expect(box.right - box.left).toBeCloseTo(box.self + parts.reduce((sum, part) => sum + part.total, 0), 6)
        expect(parts.every((part) => part.left >= box.left - 1e-6 && part.right <= box.right + 1e-6)).toBe(true)
      }
    }
  })

  it('gives spans that run at once a lane each, and no more', () => {
    const tree = buildTree([spanOf('a', '', 0, 10), spanOf('b', 'a', 0, 5), spanOf('c', 'a', 1, 5), spanOf('d', 'a', 5, 5), spanOf('e', 'a', 7, 1)])
    const flame = timeFlame(tree, selfTimes(tree))
    expect(flame.rows).toBe(3)
    expect(pathTo(flame, 3).map((box) => box.id)).toEqual([0, 3])
  })
})
