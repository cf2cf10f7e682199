import { duration } from '@/lib/format'
import type { Node, Oddity, TraceTree } from './tree'

const MS = 1e6

/** Say in words what is odd about a span. */
export function explain(node: Node, oddity: Oddity, parent: Node | undefined): string {
  switch (oddity) {
    case 'orphan':
      return `Its parent ${node.span.parent_span_id} has not been received: not ended yet, lost, or not sampled.`
    case 'cycle':
      return 'Its parents run in a circle. The circle is cut here.'
    case 'duplicate':
      return 'Another span of this trace has the same id. Children are shown below the first.'
    case 'unfinished':
      return 'It has children but no duration: it was not ended properly.'
    case 'early':
      return `It begins ${gap((parent?.start ?? 0) - node.start)} before its parent: the clocks of the two hosts differ.`
    case 'late':
      return `It begins ${gap(node.start - (parent?.end ?? 0))} after its parent has ended: deferred work, or clocks that differ.`
    case 'overrun':
      return `It runs on for ${gap(node.end - (parent?.end ?? 0))} after its parent has ended: the parent did not wait for it.`
  }
}

function gap(milliseconds: number): string {
  return duration(Math.max(0, milliseconds) * MS)
}

/** What is worth a sign in the waterfall; work that nobody waited for is usual. */
export function isWarning(oddity: Oddity): boolean {
  return oddity !== 'overrun' && oddity !== 'late'
}

/** Return one sentence for each kind of oddity of a trace, the most telling first. */
export function traceNotes(tree: TraceTree): string[] {
  const counts = new Map<Oddity, number>()
  for (const node of tree.nodes) for (const oddity of node.oddities) counts.set(oddity, (counts.get(oddity) ?? 0) + 1)
  const notes: string[] = []
  const add = (oddity: Oddity, text: (number: number) => string) => {
    const number = counts.get(oddity)
    if (number) notes.push(text(number))
  }
  const hasRoot = tree.roots.some((root) => !tree.nodes[root]?.span.parent_span_id)
  if (tree.nodes.length && !hasRoot) notes.push('The root span is missing: it has not ended yet, was lost, or was not sampled.')
  add('orphan', (number) => `${spans(number)} without the parent ${number === 1 ? 'it names' : 'they name'}, shown at the top level.`)
  add('early', (number) => `${spans(number)} begin${number === 1 ? 's' : ''} before the parent: clocks of hosts differ.`)
  add('unfinished', (number) => `${spans(number)} with children but without a duration.`)
  add('duplicate', (number) => `${spans(number)} with an id that another span has too.`)
  add('cycle', (number) => `${spans(number)} whose parents run in a circle.`)
  return notes
}

function spans(number: number): string {
  return number === 1 ? 'One span' : `${number.toLocaleString('en-US')} spans`
}
