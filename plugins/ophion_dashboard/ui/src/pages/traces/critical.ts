import type { TraceTree } from './tree'

/** A piece of the critical path: what the trace waited for between two times (milliseconds from its start). */
export interface Segment {
  index: number
  start: number
  end: number
}

interface Waiting {
  index: number
  since: number
  until: number
}

/**
 * Return the critical path of the trace's longest root, in order of time. The segments do not overlap, and together
 * last as long as that root.
 *
 * Backwards from the end of a span, the child that finished last is what it waited for; before that child began, it
 * waited for the one that had finished last until then, and between children it worked itself. What of a child lies
 * outside of its parent was not waited for. This is the algorithm of CRISP (Zhang et al., "CRISP: Critical Path
 * Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022, section 4), as the server uses it too.
 * Children are sorted once each: O(n log n), without recursion.
 */
export function criticalPath(tree: TraceTree): Segment[] {
  const root = tree.nodes[tree.main]
  if (!root) return []
  const found: Segment[] = []
  const waiting: Waiting[] = [{ index: root.index, since: root.start, until: root.end }]
  for (let next = waiting.pop(); next; next = waiting.pop()) walk(tree, next, waiting, found)
  return found.sort((left, right) => left.start - right.start || left.end - right.end)
}

function walk(tree: TraceTree, { index, since, until }: Waiting, waiting: Waiting[], found: Segment[]): void {
  let left = until
  for (const child of byEnd(tree, index)) {
    const end = Math.min(child.end, left)
    const start = Math.max(since, child.start)
    if (end <= start) continue
    if (left > end) found.push({ index, start: end, end: left })
    waiting.push({ index: child.index, since: start, until: end })
    left = start
  }
  if (left > since) found.push({ index, start: since, end: left })
}

function byEnd(tree: TraceTree, index: number): { index: number; start: number; end: number }[] {
  const children = tree.nodes[index]?.children ?? []
  const nodes = children.flatMap((child) => tree.nodes[child] ?? [])
  return nodes.sort((one, other) => other.end - one.end || one.start - other.start)
}

/** Return the segments of each span on the path. */
export function segmentsBySpan(segments: readonly Segment[]): Map<number, Segment[]> {
  const found = new Map<number, Segment[]>()
  for (const segment of segments) {
    const before = found.get(segment.index)
    if (before) before.push(segment)
    else found.set(segment.index, [segment])
  }
  return found
}
