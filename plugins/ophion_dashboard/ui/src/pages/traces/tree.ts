import type { SchemaSpanView } from '@/api/client'

/** What is odd about a span's place in its trace. */
export type Oddity = 'orphan' | 'early' | 'late' | 'overrun' | 'unfinished' | 'duplicate' | 'cycle'

/** A span with its place in the tree; spans are known by their index in `TraceTree.nodes`. Times are milliseconds from the start of the trace. */
export interface Node {
  index: number
  span: SchemaSpanView
  start: number
  end: number
  /** -1 for a root. */
  parent: number
  depth: number
  /** By start; of equal starts the longer one first. */
  children: number[]
  /** How many spans stand below. */
  below: number
  oddities: Oddity[]
}

export interface TraceTree {
  nodes: Node[]
  roots: number[]
  /** Every span, each parent before its children. */
  order: number[]
  byId: ReadonlyMap<string, number>
  start: number
  end: number
  /** The root that takes longest, which the trace is named after; -1 in an empty trace. */
  main: number
  deepest: number
}

/** Clocks are read with some error, and offsets come as floating milliseconds. */
const TOLERANCE_MS = 0.002

/**
 * Return the tree of a trace's spans, in O(n log n). A span whose parent is not there becomes a root, so does one whose
 * ancestors run in a circle; of spans with the same id the first is the one that children hang on.
 */
export function buildTree(spans: readonly SchemaSpanView[]): TraceTree {
  const nodes = spans.map<Node>((span, index) => ({
    index,
    span,
    start: span.offset_ms,
    end: span.offset_ms + Math.max(0, span.duration_ms),
    parent: -1,
    depth: 0,
    children: [],
    below: 0,
    oddities: [],
  }))
  const byId = indexById(nodes)
  linkParents(nodes, byId)
  breakCycles(nodes)
  const roots = linkChildren(nodes)
  const order = preorder(nodes, roots)
  measure(nodes, order)
  for (const node of nodes) markTimes(node, nodes[node.parent])
  const { start, end } = extent(nodes)
  return { nodes, roots, order, byId, start, end, main: longest(nodes, roots), deepest: nodes.reduce((most, node) => Math.max(most, node.depth), 0) }
}

function indexById(nodes: readonly Node[]): Map<string, number> {
  const byId = new Map<string, number>()
  for (const node of nodes) {
    if (byId.has(node.span.span_id)) node.oddities.push('duplicate')
    else byId.set(node.span.span_id, node.index)
  }
  return byId
}

function linkParents(nodes: readonly Node[], byId: ReadonlyMap<string, number>): void {
  for (const node of nodes) {
    const wanted = node.span.parent_span_id
    if (!wanted) continue
    const parent = byId.get(wanted)
    if (parent === undefined) node.oddities.push('orphan')
    else node.parent = parent
  }
}

/** Cut each circle of parents at one span, which becomes a root. Every span is walked over at most twice. */
function breakCycles(nodes: readonly Node[]): void {
  const walk = new Int32Array(nodes.length)
  for (const first of nodes) {
    let node: Node | undefined = first
    const number = first.index + 1
    while (node && walk[node.index] === 0) {
      walk[node.index] = number
      node = nodes[node.parent]
    }
    if (node && walk[node.index] === number) {
      node.parent = -1
      node.oddities.push('cycle')
    }
  }
}

function linkChildren(nodes: readonly Node[]): number[] {
  const roots: number[] = []
  const sorted = [...nodes].sort((left, right) => left.start - right.start || right.end - left.end || left.index - right.index)
  for (const node of sorted) (nodes[node.parent]?.children ?? roots).push(node.index)
  return roots
}

function preorder(nodes: readonly Node[], roots: readonly number[]): number[] {
  const order: number[] = []
  const waiting = roots.toReversed()
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    order.push(next)
    const children = nodes[next]?.children ?? []
    for (let at = children.length - 1; at >= 0; at -= 1) waiting.push(children[at] as number)
  }
  return order
}

function measure(nodes: readonly Node[], order: readonly number[]): void {
  for (const index of order) {
    const node = nodes[index]
    const parent = node && nodes[node.parent]
    if (parent) node.depth = parent.depth + 1
  }
  for (const index of order.toReversed()) {
    const node = nodes[index]
    const parent = node && nodes[node.parent]
    if (parent) parent.below += node.below + 1
  }
}

function markTimes(node: Node, parent: Node | undefined): void {
  const isInstant = node.end - node.start === 0
  if (isInstant && node.below > 0) node.oddities.push('unfinished')
  if (!parent || parent.oddities.includes('unfinished')) return
  if (node.start < parent.start - TOLERANCE_MS) node.oddities.push('early')
  else if (node.start > parent.end + TOLERANCE_MS) node.oddities.push('late')
  else if (node.end > parent.end + TOLERANCE_MS) node.oddities.push('overrun')
}

function extent(nodes: readonly Node[]): { start: number; end: number } {
  let start = Infinity
  let end = -Infinity
  for (const node of nodes) {
    start = Math.min(start, node.start)
    end = Math.max(end, node.end)
  }
  return nodes.length ? { start, end: end > start ? end : start + 0.001 } : { start: 0, end: 1 }
}

function longest(nodes: readonly Node[], roots: readonly number[]): number {
  let best = -1
  for (const root of roots) {
    const node = nodes[root]
    const leader = nodes[best]
    if (node && (!leader || node.end - node.start > leader.end - leader.start)) best = root
  }
  return best
}

/** Return the indexes from a root down to a span. */
export function ancestors(tree: TraceTree, index: number): number[] {
  const found: number[] = []
  for (let node = tree.nodes[index]; node; node = tree.nodes[node.parent]) found.push(node.index)
  return found.reverse()
}
