/** The service map as data: what is near a service, and the names by which a layout is kept. */
import type { SchemaServiceEdge, SchemaServiceNode, SchemaServiceMap } from '@/api/client'
import type { Depth } from './search'

export interface Graph {
  nodes: readonly SchemaServiceNode[]
  edges: readonly SchemaServiceEdge[]
}

/** Return the part of a map that is shown: without peers where `plain`, and around `service` where one is given. */
export function shownPart(map: SchemaServiceMap, choice: { service?: string; depth?: Depth; plain?: boolean }): Graph {
  const kept = map.nodes.filter((node) => !choice.plain || node.kind === 'service')
  const graph = within(map, new Set(kept.map((node) => node.name)))
  const depth = choice.depth ?? '1'
  return choice.service === undefined || depth === 'all' ? graph : near(graph, choice.service, Number(depth))
}

function within({ nodes, edges }: Graph, names: ReadonlySet<string>): Graph {
  return { nodes: nodes.filter((node) => names.has(node.name)), edges: edges.filter((edge) => names.has(edge.caller) && names.has(edge.callee)) }
}

/** Return what is at most `depth` calls away from a service, in either direction. */
export function near(graph: Graph, service: string, depth: number): Graph {
  const found = new Set([service])
  for (let step = 0; step < depth; step += 1) {
    const reached = new Set(found)
    for (const { caller, callee } of graph.edges) {
      if (reached.has(caller)) found.add(callee)
      if (reached.has(callee)) found.add(caller)
    }
  }
  return within(graph, found)
}

/** Return the names of what a graph is made of: while it stays the same, so does the layout. */
export function shapeOf({ nodes, edges }: Graph): string {
  const names = nodes.map((node) => node.name).sort()
  const calls = edges.map((edge) => `${edge.caller}\t${edge.callee}`).sort()
  return JSON.stringify([names, calls])
}

/** Return how thick the line of a call is, in pixels: by the logarithm of its rate. */
export function edgeWidth(rate: number): number {
  return Math.min(5, Math.max(1.2, 2 + Math.log10(Math.max(rate, 0.01))))
}
