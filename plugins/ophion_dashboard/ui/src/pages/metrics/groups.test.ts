import { describe, expect, it } from 'vitest'
import type { SchemaMetric } from '@/api/client'
import { grouped, kindAndUnit } from './groups'
import { matching } from './NameField'

const metric = (name: string): SchemaMetric => ({ name, type: 'gauge', unit: '', help: '', series: 1 })

describe('the browser of metrics', () => {
  it('groups by the first word, by two where there are many', () => {
    const groups = grouped([metric('system_cpu_a'), metric('system_cpu_b'), metric('system_mem'), metric('app_x')], 2)
    expect(groups.map((group) => [group.name, group.metrics.length])).toEqual([['app', 1], ['system_cpu', 2], ['system_mem', 1]])
  })

  it('shows a unit without its annotation', () => {
    expect(kindAndUnit({ type: 'counter', unit: '{order}' })).toBe('counter')
    expect(kindAndUnit({ type: 'gauge', unit: 'By' })).toBe('gauge · By')
  })
})

describe('names to choose from', () => {
  it('hold every word, those that begin with it first', () => {
    const choices = ['my_cpu', 'cpu_time', 'cpu_idle', 'mem'].map((name) => ({ name }))
    expect(matching(choices, 'cpu').map((choice) => choice.name)).toEqual(['cpu_time', 'cpu_idle', 'my_cpu'])
    expect(matching(choices, 'cpu TIME').map((choice) => choice.name)).toEqual(['cpu_time'])
    expect(matching(choices, '')).toHaveLength(4)
  })
})
