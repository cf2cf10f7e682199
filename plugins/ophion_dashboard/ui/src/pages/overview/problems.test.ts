import { describe, expect, it } from 'vitest'
import type { SchemaContainer, SchemaHost, SchemaService } from '@/api/client'
import { problems, slower } from './problems'

const service = (name: string, more: Partial<SchemaService>) => ({ name, spans: 100, rate: 1, errors: 0, error_rate: 0, p95_ms: 10, trend: null, ...more }) as SchemaService
const host = (name: string, figures: object) => ({ name, services: [], last_seen: '', figures: { filesystems: [], ...figures } }) as unknown as SchemaHost
const container = (name: string, share: number | null) => ({ name, host: 'web-1', figures: { memory_utilization: share } }) as unknown as SchemaContainer
const nothing = { services: [], hosts: [], containers: [], components: [] }
const told = (found: ReturnType<typeof problems>) => found.map((one) => `${one.severity} ${one.name}: ${one.text}`)

describe('problems', () => {
  it('are none where all is well', () => {
    const well = { ...nothing, services: [service('web', {})], hosts: [host('web-1', { cpu_utilization: 0.4 })], containers: [container('a', null)], components: [{ kind: 'exporter', id: 'x', status: 'ok' as const }] }
    expect(problems(well)).toEqual([])
  })

  it('come worst first', () => {
    const found = problems({
      services: [service('web', { error_rate: 0.02, errors: 2 }), service('pay', { error_rate: 0.5, errors: 50 }), service('old', { p95_ms: 2500 })],
      hosts: [host('web-1', { cpu_utilization: 0.97, memory_utilization: 0.9, filesystems: [{ mountpoint: '/var', utilization: 0.88 }] })],
      containers: [container('shop-1', 0.99)],
      components: [{ kind: 'exporter', id: 'clickhouse', status: 'failed' }, { kind: 'receiver', id: 'otlp', status: 'degraded' }],
    })
    expect(told(found)).toEqual([
      'bad exporter clickhouse: failed: needs somebody',
      'bad pay: 50 % of its requests fail (0.5/s)',
      'bad shop-1: memory limit 99 % used',
      'bad web-1: CPU 97 % busy',
      'warn receiver otlp: degraded: tries to recover by itself',
      'warn web: 2 % of its requests fail (0.02/s)',
      'warn old: slow: 95th percentile 2.5 s',
      'warn web-1: memory 90 % used',
      'warn web-1: file system /var 88 % used',
    ])
    expect(found[2]?.host).toBe('web-1')
  })

  it('see that a service has become slower', () => {
    const course = [...Array.from({ length: 10 }, () => 90), 300, 310]
    expect(slower(course)).toBeCloseTo(310 / 90)
    expect(slower([1, 1, 1, 1, 1, 1, 20, 20])).toBe(1)
    expect(slower([90, 300])).toBe(1)
    expect(slower([null, null])).toBe(1)
    const trend = { start: 0, step_seconds: 60, rate: [], error_rate: [], p95_ms: course }
    expect(told(problems({ ...nothing, services: [service('web', { trend })] }))).toEqual(['warn web: 3.4 times slower than before in this range'])
  })
})
