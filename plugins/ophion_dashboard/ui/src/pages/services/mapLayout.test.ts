import { expect, it } from 'vitest'
import { guides, placed } from './mapLayout'
import type { Graph } from './mapModel'

it('gives every node a place, whatever it is called', () => {
  const names = ['__proto__', 'constructor', 'shop']
  const graph = {
    nodes: names.map((name) => ({ name })),
    edges: [
      { caller: 'shop', callee: '__proto__' },
      { caller: '__proto__', callee: 'constructor' },
    ],
  } as unknown as Graph
  const places = placed(graph)
  expect([...places.keys()]).toEqual(names)
  expect(places.get('shop')?.x).toBeLessThan(places.get('constructor')?.x ?? 0)
})

function graphOf(names: readonly string[], calls: readonly (readonly [string, string])[]): Graph {
  return { nodes: names.map((name) => ({ name })), edges: calls.map(([caller, callee]) => ({ caller, callee })) } as unknown as Graph
}

const many = Array.from({ length: 30 }, (_, at) => `service-${String(at).padStart(2, '0')}`)
const everyCall = many.flatMap((caller) => many.map((callee) => [caller, callee] as const))

it('places a small graph by all of its calls', () => {
  const calls = [['a', 'b'], ['b', 'c'], ['c', 'a'], ['a', 'a']] as const
  expect(guides(graphOf(['a', 'b', 'c'], calls))).toEqual([['a', 'a'], ['a', 'b'], ['b', 'c'], ['c', 'a']])
})

it('places a graph in which everything calls everything by the calls of the first', () => {
  expect(guides(graphOf(many, everyCall))).toEqual(many.slice(1).map((callee) => ['service-00', callee]))
})

it('places a large graph by the calls that lead away from where requests come in', () => {
  const chain = many.slice(1).map((callee, at) => [many[at] as string, callee] as const)
  const back = everyCall.filter(([caller, callee]) => callee !== 'service-00' && caller > callee)
  const calls = [...chain, ...back]
  expect(guides(graphOf(many, calls))).toEqual(chain)
  expect(guides(graphOf(many.toReversed(), calls.toReversed()))).toEqual(chain)
  const places = placed(graphOf(many, calls))
  const across = many.map((name) => places.get(name)?.x ?? NaN)
  expect(across).toEqual([...across].sort((one, other) => one - other))
  expect(new Set(across).size).toBe(many.length)
})

it('places nodes that nothing leads to', () => {
  const [first, ...rest] = many as [string, ...string[]]
  const apart = everyCall.filter(([caller, callee]) => caller !== first && callee !== first)
  const graph = graphOf(many, apart)
  expect(guides(graph)).toEqual(rest.slice(1).map((callee) => [rest[0], callee]))
  expect([...placed(graph).values()].every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))).toBe(true)
})
