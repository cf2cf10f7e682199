import { expect, it } from 'vitest'
import { placed } from './mapLayout'
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
