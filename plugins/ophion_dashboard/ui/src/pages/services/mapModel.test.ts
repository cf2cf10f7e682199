import { describe, expect, it } from 'vitest'
import type { SchemaServiceEdge, SchemaServiceNode } from '@/api/client'
import { placed } from './mapLayout'
import { edgeWidth, near, shapeOf, shownPart } from './mapModel'

const node = (name: string, kind: SchemaServiceNode['kind'] = 'service'): SchemaServiceNode => ({ name, kind, system: '', spans: 1, errors: 0, rate: 1, error_rate: 0, p95_ms: 1 })
const call = (caller: string, callee: string): SchemaServiceEdge => ({ caller, callee, calls: 1, rate: 1, errors: 0, error_rate: 0, p50_ms: 1, p95_ms: 1, p99_ms: 1 })
const graph = {
  nodes: [node('web'), node('checkout'), node('payment'), node('db', 'database'), node('alone')],
  edges: [call('web', 'checkout'), call('checkout', 'payment'), call('payment', 'db')],
}
const map = { ...graph, sampled_one_in: 1, truncated: false }
const names = (found: { nodes: readonly SchemaServiceNode[] }) => found.nodes.map((one) => one.name)

describe('what is shown', () => {
  it('is everything, or what is near a service in both directions', () => {
    expect(names(shownPart(map, {}))).toHaveLength(5)
    expect(names(shownPart(map, { service: 'checkout' }))).toEqual(['web', 'checkout', 'payment'])
    expect(names(shownPart(map, { service: 'web', depth: '2' }))).toEqual(['web', 'checkout', 'payment'])
    expect(names(shownPart(map, { service: 'web', depth: 'all' }))).toHaveLength(5)
    expect(near(graph, 'nobody', 3)).toEqual({ nodes: [], edges: [] })
  })

  it('leaves peers out with their calls', () => {
    const plain = shownPart(map, { plain: true })
    expect(names(plain)).not.toContain('db')
    expect(plain.edges).toHaveLength(2)
  })
})

describe('the layout', () => {
  it('is known by its names, in any order', () => {
    const turned = { nodes: graph.nodes.toReversed(), edges: graph.edges.toReversed() }
    expect(shapeOf(turned)).toBe(shapeOf(graph))
    expect(shapeOf({ ...graph, edges: [] })).not.toBe(shapeOf(graph))
    expect(placed(turned)).toEqual(placed(graph))
  })

  it('puts callers left of what they call', () => {
    const at = placed(graph)
    const x = (name: string) => at.get(name)?.x ?? Number.NaN
    expect(x('web')).toBeLessThan(x('checkout'))
    expect(x('payment')).toBeLessThan(x('db'))
    expect(at.size).toBe(5)
    const y = (name: string) => placed(graph, true).get(name)?.y ?? Number.NaN
    expect(y('web')).toBeLessThan(y('checkout'))
  })

  it('draws busy calls thicker', () => {
    expect([edgeWidth(0), edgeWidth(1), edgeWidth(1e9)]).toEqual([1.2, 2, 5])
  })
})
