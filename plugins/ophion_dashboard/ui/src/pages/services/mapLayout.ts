import { Graph as Layered, layout } from '@dagrejs/dagre'
import type { Graph } from './mapModel'

export const NODE_WIDTH = 224
export const NODE_HEIGHT = 62

export interface Place {
  x: number
  y: number
}

/** Laying out more calls than this would hold up the page: it grows with the square of them, seconds for some hundred. */
const MOST_CALLS = 60

/** The layout keeps nodes in plain objects, where a service named `__proto__` would be something else. */
function id(name: string): string {
  return `node ${name}`
}

/** Return where each node stands: callers on the left, or above on tall screens. The same names give the same places. */
export function placed({ nodes, edges }: Graph, tall = false): Map<string, Place> {
  const layered = new Layered()
  layered.setGraph({ rankdir: tall ? 'TB' : 'LR', nodesep: 26, ranksep: tall ? 60 : 170, marginx: 16, marginy: 16 })
  layered.setDefaultEdgeLabel(() => ({}))
  for (const name of nodes.map((node) => node.name).sort()) layered.setNode(id(name), { width: NODE_WIDTH, height: NODE_HEIGHT })
  for (const [caller, callee] of guides({ nodes, edges })) layered.setEdge(id(caller), id(callee))
  layout(layered)
  return new Map(
    nodes.map(({ name }) => {
      const { x, y } = layered.node(id(name))
      return [name, { x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }]
    }),
  )
}

type Call = readonly [caller: string, callee: string]

/**
 * Return the calls by which nodes find their places, sorted: all of them, or in a large graph those that lead one step
 * further from where requests come in. The others are drawn, but move nothing.
 */
export function guides({ nodes, edges }: Graph): Call[] {
  const calls = edges.map(({ caller, callee }): Call => [caller, callee]).sort(byNames)
  if (calls.length <= MOST_CALLS) return calls
  const steps = stepsFromOutside(nodes.map((node) => node.name).sort(), calls)
  return calls.filter(([caller, callee]) => steps.get(callee) === (steps.get(caller) ?? 0) + 1)
}

function byNames([caller, callee]: Call, [other, called]: Call): number {
  return caller < other ? -1 : caller > other ? 1 : callee < called ? -1 : callee > called ? 1 : 0
}

/** Return how many calls away each node is from one that nobody calls; where everything is called, from the first by name. */
function stepsFromOutside(names: readonly string[], calls: readonly Call[]): Map<string, number> {
  const callees = new Map<string, string[]>()
  const called = new Set<string>()
  for (const [caller, callee] of calls) {
    if (caller === callee) continue
    called.add(callee)
    const before = callees.get(caller)
    if (before) before.push(callee)
    else callees.set(caller, [callee])
  }
  const steps = new Map<string, number>()
  const reach = (first: readonly string[]) => {
    const waiting = first.map((name): [string, number] => [name, 0])
    // Grows while it is walked through.
    for (const [name, step] of waiting) {
      if (steps.has(name)) continue
      steps.set(name, step)
      for (const callee of callees.get(name) ?? []) waiting.push([callee, step + 1])
    }
  }
  reach(names.filter((name) => !called.has(name)))
  for (const name of names) if (!steps.has(name)) reach([name])
  return steps
}
