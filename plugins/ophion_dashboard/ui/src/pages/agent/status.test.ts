import { describe, expect, it } from 'vitest'
import type { SchemaComponentStatus } from '@/api/client'
import { inOrder, toneOf } from './status'

const component = (id: string, status = 'ok'): SchemaComponentStatus => ({ kind: 'exporter', id, status, reason: '', since: '', for_seconds: 1 })

describe('inOrder', () => {
  it('puts the unwell first, and each once', () => {
    const found = inOrder([component('b'), component('a'), component('a'), component('z', 'degraded')])
    expect(found.map((one) => one.id)).toEqual(['z', 'a', 'b'])
  })
})

describe('toneOf', () => {
  it('knows what is bad, and is plain about what it does not know', () => {
    expect(toneOf('fatal')).toBe('bad')
    expect(toneOf('something new')).toBe('plain')
  })
})
