import { describe, expect, it } from 'vitest'
import { marks, thinned } from './exemplars'
import { addToHistory } from './history'
import { body, runAll, stepSeconds } from './run'
import { fillLegend, namingLabels, numeric, tellingLabels, toLines, withGaps, type Series } from './series'
import { metricsIn, showsMeasure, unitOf, type Metadata } from './units'

const CPU: Series[] = [
  { labels: { __name__: 'cpu', host: 'a', state: 'user' }, points: [[0, 1], [10, 'NaN'], [20, '+Inf']] },
  { labels: { __name__: 'cpu', host: 'a', state: 'idle' }, points: [[0, 2]] },
]

describe('series', () => {
  it('are named by what sets them apart', () => {
    expect(tellingLabels(CPU)).toEqual(['state'])
    const { lines } = toLines([{ letter: 'A', expression: 'cpu', series: CPU }])
    expect(lines.map((line) => line.name)).toEqual(['state=user', 'state=idle'])
    expect(new Set(lines.map((line) => line.key)).size).toBe(2)
  })

  it('are named by one label where that is enough', () => {
    const series = [['a', 'x', '0123456789'], ['b', 'x', '9876543210'], ['c', 'y', '5555555555']].map(([host = '', zone = '', id = '']) => ({
      labels: { host, zone, id },
      points: [],
    }))
    expect(namingLabels(series)).toEqual(['host'])
    expect(namingLabels(CPU)).toEqual(['state'])
    expect(namingLabels(series.map((one) => ({ ...one, labels: { ...one.labels, host: '-', id: '-' } })))).toEqual(['zone'])
  })

  it('say which query they are of where there are several', () => {
    const { lines } = toLines([
      { letter: 'A', expression: 'cpu', series: CPU.slice(0, 1) },
      { letter: 'B', expression: '1 + 1', series: [{ labels: {}, points: [[0, 2]] }] },
    ])
    expect(lines.map((line) => line.name)).toEqual(['A · host=a, state=user', 'B · 1 + 1'])
  })

  it('fill a legend template', () => {
    expect(fillLegend('{{host}} / {{ state }}{{missing}}', { host: 'a', state: 'user' })).toBe('a / user')
    const { lines } = toLines([{ letter: 'A', expression: 'cpu', series: CPU, legend: '{{state}}' }])
    expect(lines.map((line) => line.name)).toEqual(['user', 'idle'])
  })

  it('are bounded', () => {
    const many = Array.from({ length: 9 }, (_, n) => ({ labels: { n: String(n) }, points: [] }))
    expect(toLines([{ letter: 'A', expression: 'x', series: many }], 4)).toMatchObject({ left: 5 })
  })

  it('carry the numbers that JSON cannot write', () => {
    expect(numeric('+Inf')).toBe(Infinity)
    expect(numeric('-Inf')).toBe(-Infinity)
    expect(numeric('NaN')).toBeNaN()
    expect(numeric(null)).toBeNaN()
    expect(numeric('1.5')).toBe(1.5)
  })

  it('show a gap where steps are missing', () => {
    const [line] = withGaps([{ key: 'a', points: [[0, 1], [10, 1], [50, 1]] }], 10)
    expect(line?.points).toEqual([[0, 1], [10, 1], [20, null], [50, 1]])
  })
})

const KNOWN = new Map<string, Metadata>(
  Object.entries({
    cpu_seconds_total: 's',
    net_bytes_total: 'By',
    mem_bytes: 'By',
    orders_total: '{order}',
    d_seconds_bucket: 's',
    d_seconds_sum: 's',
    d_seconds_count: 's',
  }).map(([name, unit]) => [name, { type: 'gauge', unit, help: '' }]),
)

describe('units', () => {
  it.each([
    ['mem_bytes', 'By'],
    ['sum by (mem_bytes) (mem_bytes{a="net_bytes_total"})', 'By'],
    ['rate(net_bytes_total[5m])', 'By/s'],
    ['rate(cpu_seconds_total[5m])', ''],
    ['rate(orders_total[5m])', '/s'],
    ['histogram_quantile(0.9, sum by (le) (rate(d_seconds_bucket[5m])))', 's'],
    ['rate(d_seconds_sum[5m]) / rate(d_seconds_count[5m])', 's'],
    ['mem_bytes / mem_bytes', ''],
    ['count(mem_bytes)', ''],
    ['rate(d_seconds_count[5m])', '/s'],
    ['vector(1)', ''],
  ])('of %s', (expression, unit) => expect(unitOf(expression, KNOWN)).toBe(unit))

  it('finds metrics, not what stands in quotes', () => {
    expect(metricsIn('a{x="mem_bytes is"} + rate(net_bytes_total[1m])', KNOWN)).toEqual(['net_bytes_total'])
    expect(showsMeasure('histogram_quantile(0.9, x)')).toBe(true)
    expect(showsMeasure('rate(x_count[5m])')).toBe(false)
  })
})

describe('history', () => {
  it('keeps the newest first, each once, not too many', () => {
    expect(addToHistory(['a', 'b'], ' b ')).toEqual(['b', 'a'])
    expect(addToHistory(['a'], '  ')).toEqual(['a'])
    expect(addToHistory(Array.from({ length: 60 }, String), 'x')).toHaveLength(50)
  })
})

describe('exemplars', () => {
  it('become marks with their trace, the largest of each moment', () => {
    const one = (id: string, time: number, value: string) => ({ labels: { trace_id: id }, value, timestamp: time })
    const all = marks([{ exemplars: [one('a', 1, '1'), one('a', 1, '1'), { labels: {}, value: '1', timestamp: 1 }, one('b', 2, 'x')] }])
    expect(all.map((mark) => mark.traceId)).toEqual(['a'])
    const many = marks([{ exemplars: Array.from({ length: 9 }, (_, n) => one(`t${n}`, 5, String(n))) }])
    expect(thinned(many, { start: 0, end: 600_000 }).map((mark) => mark.value)).toEqual([8, 7, 6])
  })
})

describe('questions', () => {
  it('ask over a range or at its end', () => {
    const range = { start: 1000, end: 2000 }
    expect(body({ expression: ' up ', range, step: 15 })).toMatchObject({ query: 'up', from: '1000', to: '2000', step: '15s' })
    expect(body({ expression: 'up', range, step: 15, instant: true })).toMatchObject({ time: '2000', step: null })
    expect(stepSeconds('5m')).toBe(300)
    expect(stepSeconds('x')).toBeUndefined()
  })

  it('are not asked when they are empty', async () => {
    await expect(runAll([{ expression: ' ', range: { start: 0, end: 1 }, step: 1 }])).resolves.toEqual([{ expression: ' ', series: [] }])
  })
})
