import { Graph as Layered, layout } from '@dagrejs/dagre'
import type { Graph } from './mapModel'

export const NODE_WIDTH = 224
export const NODE_HEIGHT = 62

export interface Place {
  x: number
  y: number
}

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
  for (const [caller, callee] of edges.map((edge) => [edge.caller, edge.callee] as const).sort()) layered.setEdge(id(caller), id(callee))
  layout(layered)
  return new Map(
    nodes.map(({ name }) => {
      const { x, y } = layered.node(id(name))
      return [name, { x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }]
    }),
  )
}
