import { operationKey } from './times'
import type { TraceTree } from './tree'

/** A box of a flame graph: `left` and `right` in its unit, `row` from the top. */
export interface Box {
  id: number
  parent: number
  left: number
  right: number
  row: number
  service: string
  name: string
  errors: number
  /** How many spans are in it. */
  count: number
  /** Milliseconds in which nothing below it ran, and all of it. */
  self: number
  total: number
  /** The longest of its spans. */
  span: number
}

export interface Flame {
  boxes: Box[]
  rows: number
  end: number
}

/**
 * Return the spans over time: a row for each depth, and as many lanes of it as spans run at once. Lanes are filled from
 * the top by a heap of their ends: O(n log n).
 */
export function timeFlame(tree: TraceTree, self: Float64Array): Flame {
  const levels: number[][] = Array.from({ length: tree.nodes.length ? tree.deepest + 1 : 0 }, () => [])
  for (const node of tree.nodes) levels[node.depth]?.push(node.index)
  const boxes: Box[] = []
  let row = 0
  for (const level of levels) {
    level.sort((one, other) => (tree.nodes[one]?.start ?? 0) - (tree.nodes[other]?.start ?? 0))
    const lanes = new Lanes()
    for (const index of level) {
      const node = tree.nodes[index]
      if (!node) continue
      const { service, name, status } = node.span
      const errors = status === 'error' ? 1 : 0
      const lane = lanes.take(node.start, node.end)
      boxes.push({ id: index, parent: node.parent, left: node.start - tree.start, right: node.end - tree.start, row: row + lane, service, name, errors, count: 1, self: self[index] ?? 0, total: node.end - node.start, span: index })
    }
    row += lanes.count
  }
  return { boxes, rows: row, end: tree.end - tree.start }
}

/** Lanes in which intervals, given by their start, do not overlap: each goes to the lane that has been free longest. */
class Lanes {
  count = 0
  private readonly heap: { end: number; lane: number }[] = []

  take(start: number, end: number): number {
    const first = this.heap[0]
    if (first && first.end <= start) {
      this.heap[0] = { end, lane: first.lane }
      this.sink()
      return first.lane
    }
    const lane = this.count
    this.count += 1
    this.heap.push({ end, lane })
    this.rise()
    return lane
  }

  private rise(): void {
    for (let at = this.heap.length - 1; at > 0; ) {
      const above = (at - 1) >> 1
      if (!this.swapIfLess(at, above)) return
      at = above
    }
  }

  private sink(): void {
    for (let at = 0; ; ) {
      const left = at * 2 + 1
      const right = left + 1
      const less = right < this.heap.length && this.end(right) < this.end(left) ? right : left
      if (less >= this.heap.length || !this.swapIfLess(less, at)) return
      at = less
    }
  }

  private end(at: number): number {
    return this.heap[at]?.end ?? Infinity
  }

  private swapIfLess(low: number, high: number): boolean {
    const one = this.heap[low]
    const other = this.heap[high]
    if (!one || !other || one.end >= other.end) return false
    this.heap[low] = other
    this.heap[high] = one
    return true
  }
}

/**
 * Return the spans merged by their path of operations. A box is as wide as the self time of everything in it, so work
 * done at once is counted each time, and a box is always as wide as its own self time and the boxes below it together.
 */
export function mergedFlame(tree: TraceTree, self: Float64Array): Flame {
  const boxes: Box[] = []
  const boxOf = new Int32Array(tree.nodes.length).fill(-1)
  const known = new Map<string, number>()
  for (const index of tree.order) {
    const node = tree.nodes[index]
    if (!node) continue
    const { service, name, status } = node.span
    const parent = node.parent < 0 ? -1 : (boxOf[node.parent] ?? -1)
    const key = `${parent} ${operationKey(service, name)}`
    let id = known.get(key)
    if (id === undefined) {
      id = boxes.length
      known.set(key, id)
      boxes.push({ id, parent, left: 0, right: 0, row: node.depth, service, name, errors: 0, count: 0, self: 0, total: 0, span: index })
    }
    boxOf[index] = id
    addSpan(boxes[id], tree, index, self[index] ?? 0, status === 'error')
  }
  placeMerged(boxes)
  return { boxes, rows: tree.nodes.length ? tree.deepest + 1 : 0, end: boxes.reduce((sum, box) => sum + (box.parent < 0 ? box.total : 0), 0) }
}

function addSpan(box: Box | undefined, tree: TraceTree, index: number, self: number, failed: boolean): void {
  const node = tree.nodes[index]
  const longest = box && tree.nodes[box.span]
  if (!box || !node || !longest) return
  box.count += 1
  box.errors += failed ? 1 : 0
  box.self += self
  if (node.end - node.start > longest.end - longest.start) box.span = index
}

/** Boxes come with each parent before its children. */
function placeMerged(boxes: Box[]): void {
  for (const box of boxes) box.total = box.self
  for (const box of boxes.toReversed()) {
    const parent = boxes[box.parent]
    if (parent) parent.total += box.total
  }
  const free = new Map<number, number>()
  const widestFirst = [...boxes].sort((one, other) => one.row - other.row || other.total - one.total)
  for (const box of widestFirst) {
    box.left = free.get(box.parent) ?? boxes[box.parent]?.left ?? 0
    box.right = box.left + box.total
    free.set(box.parent, box.right)
  }
}

/** Return the boxes directly below one, or the top ones for -1, widest first. */
export function partsOf(flame: Flame, id: number): Box[] {
  return flame.boxes.filter((box) => box.parent === id).sort((one, other) => other.total - one.total)
}

/** Return the boxes from the top down to one. */
export function pathTo(flame: Flame, id: number): Box[] {
  const known = new Map(flame.boxes.map((box) => [box.id, box]))
  const found: Box[] = []
  for (let box = known.get(id); box; box = known.get(box.parent)) found.push(box)
  return found.reverse()
}
