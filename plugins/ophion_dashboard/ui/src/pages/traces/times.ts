import type { Node, TraceTree } from './tree'

/** Return the milliseconds of a span in which none of its children ran. Children are in order of their start. */
export function selfTime(tree: TraceTree, node: Node): number {
  let left = node.end - node.start
  let reached = node.start
  for (const index of node.children) {
    const child = tree.nodes[index]
    if (!child) continue
    const start = Math.max(child.start, reached)
    const end = Math.min(child.end, node.end)
    if (end > start) {
      left -= end - start
      reached = end
    }
  }
  return Math.max(0, left)
}

export function selfTimes(tree: TraceTree): Float64Array {
  return Float64Array.from(tree.nodes, (node) => selfTime(tree, node))
}

/** What spans of one operation of one service took together, in milliseconds. */
export interface OperationFigures {
  key: string
  service: string
  name: string
  count: number
  errors: number
  total: number
  mean: number
  longest: number
  self: number
  /** Their part in the critical path. */
  critical: number
  /** The span that took longest. */
  example: number
}

/** Return the figures of every operation, the most self time first. */
export function byOperation(tree: TraceTree, self: Float64Array, critical: ReadonlyMap<number, number>): OperationFigures[] {
  const found = new Map<string, OperationFigures>()
  for (const node of tree.nodes) {
    const { service, name, status } = node.span
    const key = operationKey(service, name)
    const took = node.end - node.start
    let one = found.get(key)
    if (!one) {
      one = { key, service, name, count: 0, errors: 0, total: 0, mean: 0, longest: -1, self: 0, critical: 0, example: node.index }
      found.set(key, one)
    }
    one.count += 1
    one.errors += status === 'error' ? 1 : 0
    one.total += took
    one.self += self[node.index] ?? 0
    one.critical += critical.get(node.index) ?? 0
    if (took > one.longest) {
      one.longest = took
      one.example = node.index
    }
    one.mean = one.total / one.count
  }
  return [...found.values()].sort((left, right) => right.self - left.self)
}

/** A service and a name in one text that no other pair has. */
export function operationKey(service: string, name: string): string {
  return JSON.stringify([service, name])
}

export interface Share {
  service: string
  value: number
}

/** Return how much of something each service has, the most first. */
export function byService(tree: TraceTree, value: (index: number) => number): Share[] {
  const sums = new Map<string, number>()
  for (const node of tree.nodes) {
    const one = value(node.index)
    if (one > 0) sums.set(node.span.service, (sums.get(node.span.service) ?? 0) + one)
  }
  return [...sums].map(([service, sum]) => ({ service, value: sum })).sort((left, right) => right.value - left.value)
}
