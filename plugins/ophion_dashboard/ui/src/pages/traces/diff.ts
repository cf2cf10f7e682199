import { operationKey } from './times'
import type { TraceTree } from './tree'

export type Change = 'added' | 'missing' | 'slower' | 'faster' | 'same'

/** The spans of two traces that stand at the same path of operations. Durations are milliseconds of all of them together. */
export interface PathDiff {
  key: string
  /** Operations from the root on, the last one is its own. */
  path: string[]
  depth: number
  service: string
  name: string
  countA: number
  countB: number
  totalA: number
  totalB: number
  selfA: number
  selfB: number
  errorsA: number
  errorsB: number
  /** Of the time spent in the spans themselves, B minus A: differences of children are not counted again. */
  difference: number
  change: Change
}

/** Differences below this share of the longer one, or below this many milliseconds, are noise. */
const SAME_SHARE = 0.1
const SAME_MS = 0.5

interface Side {
  count: 'countA' | 'countB'
  total: 'totalA' | 'totalB'
  self: 'selfA' | 'selfB'
  errors: 'errorsA' | 'errorsB'
}

const A: Side = { count: 'countA', total: 'totalA', self: 'selfA', errors: 'errorsA' }
const B: Side = { count: 'countB', total: 'totalB', self: 'selfB', errors: 'errorsB' }

/** Return how two traces differ, path by path, the greatest difference first. */
export function diffTraces(a: TraceTree, selfA: Float64Array, b: TraceTree, selfB: Float64Array): PathDiff[] {
  const found = new Map<string, PathDiff>()
  collect(found, a, selfA, A)
  collect(found, b, selfB, B)
  for (const one of found.values()) {
    one.difference = one.selfB - one.selfA
    one.change = changeOf(one)
  }
  return [...found.values()].sort((left, right) => Math.abs(right.difference) - Math.abs(left.difference) || left.depth - right.depth)
}

/** Paths are numbered as they appear, so that a deep trace needs no long keys. */
function collect(found: Map<string, PathDiff>, tree: TraceTree, self: Float64Array, side: Side): void {
  const diffOf: (PathDiff | undefined)[] = []
  const numbers = new Map([...found.keys()].map((key, number) => [key, number]))
  for (const index of tree.order) {
    const node = tree.nodes[index]
    if (!node) continue
    const above = diffOf[node.parent]
    const key = `${above ? (numbers.get(above.key) ?? 0) : ''}/${operationKey(node.span.service, node.span.name)}`
    let one = found.get(key)
    if (!one) {
      one = emptyDiff(key, above, node.span.service, node.span.name)
      numbers.set(key, found.size)
      found.set(key, one)
    }
    diffOf[index] = one
    one[side.count] += 1
    one[side.total] += node.end - node.start
    one[side.self] += self[index] ?? 0
    one[side.errors] += node.span.status === 'error' ? 1 : 0
  }
}

function emptyDiff(key: string, above: PathDiff | undefined, service: string, name: string): PathDiff {
  const zero = { countA: 0, countB: 0, totalA: 0, totalB: 0, selfA: 0, selfB: 0, errorsA: 0, errorsB: 0, difference: 0 }
  const depth = above ? above.depth + 1 : 0
  // What is shown of a path is its end.
  const path = [...(above?.path ?? []).slice(-5), `${service}: ${name}`]
  return { key, path, depth, service, name, change: 'same', ...zero }
}

function changeOf({ countA, countB, selfA, selfB }: PathDiff): Change {
  if (!countA) return 'added'
  if (!countB) return 'missing'
  const by = selfB - selfA
  if (Math.abs(by) < SAME_MS || Math.abs(by) < SAME_SHARE * Math.max(selfA, selfB)) return 'same'
  return by > 0 ? 'slower' : 'faster'
}

/** Return one or two sentences that say how B differs from A. */
export function summarise(diffs: readonly PathDiff[], durationA: number, durationB: number, format: (ms: number) => string): string {
  const by = durationB - durationA
  const isSame = Math.abs(by) < SAME_SHARE * Math.max(durationA, durationB)
  const first = isSame
    ? `B takes about as long as A (${format(durationB)} and ${format(durationA)}).`
    : `B takes ${format(Math.abs(by))} ${by > 0 ? 'longer' : 'less'} than A (${format(durationB)} instead of ${format(durationA)}).`
  if (diffs.every((one) => !one.countA || !one.countB)) return `${first} The two have no operation in common.`
  const cause = diffs.find((one) => one.change !== 'same' && (isSame || Math.sign(one.difference) === Math.sign(by)))
  const why = cause && !isSame ? ` Most of it is ${cause.name} of ${cause.service}: ${signed(cause.difference, format)}.` : ''
  const parts = (['added', 'missing', 'slower', 'faster'] as const)
    .map((change) => [diffs.filter((one) => one.change === change).length, change] as const)
    .filter(([number]) => number > 0)
    .map(([number, change]) => `${number} ${change}`)
  return `${first}${why} ${parts.length ? `Operations: ${parts.join(', ')}.` : 'Both have the same operations.'}`
}

export function signed(milliseconds: number, format: (ms: number) => string): string {
  return `${milliseconds < 0 ? '−' : '+'}${format(Math.abs(milliseconds))}`
}
