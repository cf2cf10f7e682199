import type { TraceTree } from './tree'

/** Return the spans that are shown, from top to bottom: all but those below a collapsed one. O(n). */
export function visibleRows(tree: TraceTree, collapsed: ReadonlySet<number>): number[] {
  if (collapsed.size === 0) return tree.order
  const rows: number[] = []
  for (let at = 0; at < tree.order.length; ) {
    const index = tree.order[at] as number
    rows.push(index)
    at += 1 + (collapsed.has(index) ? (tree.nodes[index]?.below ?? 0) : 0)
  }
  return rows
}

/** Return which spans to collapse so that those deeper than `depth` are hidden. */
export function collapsedBelow(tree: TraceTree, depth: number): Set<number> {
  return new Set(tree.nodes.filter((node) => node.depth >= depth && node.children.length > 0).map((node) => node.index))
}

/** Return `collapsed` without what hides a span, or itself where nothing does. */
export function revealed(tree: TraceTree, collapsed: ReadonlySet<number>, index: number): ReadonlySet<number> {
  const hiding: number[] = []
  for (let node = tree.nodes[tree.nodes[index]?.parent ?? -1]; node; node = tree.nodes[node.parent]) {
    if (collapsed.has(node.index)) hiding.push(node.index)
  }
  if (!hiding.length) return collapsed
  const next = new Set(collapsed)
  for (const one of hiding) next.delete(one)
  return next
}

export type Move = 'up' | 'down' | 'pageup' | 'pagedown' | 'first' | 'last'

/** Return the place in the rows after a move; a page is `page` rows. */
export function moved(place: number, move: Move, count: number, page: number): number {
  const to: Record<Move, number> = {
    up: place - 1,
    down: place + 1,
    pageup: place - page,
    pagedown: place + page,
    first: 0,
    last: count - 1,
  }
  return Math.max(0, Math.min(count - 1, to[move]))
}

export interface Slice {
  first: number
  /** Not included. */
  last: number
}

/** Return which rows of a fixed height are seen in a scroller, with `more` above and below. */
export function seen(top: number, height: number, rowHeight: number, count: number, more = 8): Slice {
  const first = Math.max(0, Math.floor(top / rowHeight) - more)
  return { first: Math.min(first, count), last: Math.min(count, Math.ceil((top + height) / rowHeight) + more) }
}

/** Return the scroll position that shows a row whole, or the present one where it does. */
export function scrollFor(place: number, top: number, height: number, rowHeight: number): number {
  const above = place * rowHeight
  if (above < top) return above
  return above + rowHeight > top + height ? above + rowHeight - height : top
}
