import type { SchemaSpanView } from '@/api/client'
import type { TraceTree } from './tree'

/** Return the text of an attribute's value as it is shown and searched. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined ? '' : JSON.stringify(value)
}

/**
 * Return the spans that match every word of `text`, in the order of the waterfall. A word `key=value` looks at one
 * attribute, `error` alone also finds spans that failed; any other word may stand in the service, the name, the id, the
 * status message, an attribute or an event.
 */
export function findSpans(tree: TraceTree, text: string, resources: readonly { attributes: Record<string, unknown> }[] = []): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length) return []
  const inResource = resources.map((resource) => words.map((word) => hasAttribute(resource.attributes, word)))
  return tree.order.filter((index) => {
    const span = tree.nodes[index]?.span
    return span !== undefined && words.every((word, at) => inResource[span.resource]?.[at] || matches(span, word))
  })
}

function matches(span: SchemaSpanView, word: string): boolean {
  if (word === 'error' && span.status === 'error') return true
  const plain = `${span.service}\n${span.name}\n${span.span_id}\n${span.status_message}\n${span.kind}`.toLowerCase()
  if (plain.includes(word) || hasAttribute(span.attributes, word)) return true
  return span.events.some((event) => event.name.toLowerCase().includes(word) || hasAttribute(event.attributes, word))
}

function hasAttribute(attributes: Record<string, unknown>, word: string): boolean {
  for (const key in attributes) {
    if (`${key}=${shown(attributes[key])}`.toLowerCase().includes(word)) return true
  }
  return false
}

/** Return the match after (or before) a span in the order of the waterfall, going round at the end. */
export function nextMatch(tree: TraceTree, matches: readonly number[], from: number | undefined, back = false): number | undefined {
  if (!matches.length) return undefined
  const rank = new Map(tree.order.map((index, at) => [index, at]))
  const here = from === undefined ? -1 : (rank.get(from) ?? -1)
  const at = (index: number) => rank.get(index) ?? 0
  if (back) return matches.findLast((one) => at(one) < here) ?? matches.at(-1)
  return matches.find((one) => at(one) > here) ?? matches[0]
}
