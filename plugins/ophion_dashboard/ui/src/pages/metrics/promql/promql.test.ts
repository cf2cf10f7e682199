import { describe, expect, it } from 'vitest'
import { EMPTY, escapedRegex, startingPoint, toPromQL, type Built } from './model'
import { fromPromQL } from './parse'

const FULL: Built = {
  metric: 'http_requests_total',
  filters: [
    { label: 'service', operator: '=', value: 'shop "a\\b"\n' },
    { label: 'code', operator: '!~', value: '5..' },
  ],
  overTime: 'rate',
  window: '1m30s',
  aggregation: 'sum',
  by: ['service', 'http.route'],
}

describe('the builder', () => {
  it('writes selectors, functions and aggregations', () => {
    expect(toPromQL(EMPTY)).toBe('')
    expect(toPromQL({ ...EMPTY, metric: 'up' })).toBe('up')
    expect(toPromQL(FULL)).toBe(
      'sum by (service, "http.route") (rate(http_requests_total{service="shop \\"a\\\\b\\"\\n", code!~"5.."}[1m30s]))',
    )
    expect(toPromQL({ ...EMPTY, metric: 'http.requests' })).toBe('{"http.requests"}')
  })

  it('writes quantiles of histograms', () => {
    const built = { ...EMPTY, metric: 'd_bucket', overTime: 'rate' as const, quantile: 0.95, by: ['route'] }
    expect(toPromQL(built)).toBe('histogram_quantile(0.95, sum by (le, route) (rate(d_bucket[5m])))')
  })

  it.each([
    'up',
    'up{job="a", host!~"b.*"}',
    '{"http.requests", code="200"}',
    'rate(x_total[5m])',
    'max_over_time(x{a="b"}[1h])',
    'sum(up)',
    'sum by (a, b) (rate(x_total{c=~"d"}[1m]))',
    'histogram_quantile(0.99, sum by (le, route) (rate(d_bucket[5m])))',
    toPromQL(FULL),
  ])('reads back what it wrote: %s', (source) => {
    const built = fromPromQL(source)
    expect(built).toBeDefined()
    expect(built && toPromQL(built)).toBe(source)
  })

  it('reads other ways to write the same', () => {
    expect(fromPromQL("sum(rate(x_total{a='b',}[5m])) by (c)")).toEqual({
      ...EMPTY,
      metric: 'x_total',
      filters: [{ label: 'a', operator: '=', value: 'b' }],
      overTime: 'rate',
      aggregation: 'sum',
      by: ['c'],
    })
    expect(fromPromQL('')).toEqual(EMPTY)
    expect(fromPromQL('rate(x[$__rate_interval])')?.window).toBe('$__rate_interval')
  })

  it.each(['up + 1', 'sum without (a) (up)', 'topk(3, up)', 'rate(up[5m] offset 1h)', 'up{', 'a[5m]', '{a="b"}', 'sum(up', '1', '# x', 'abs(up)'])(
    'leaves to code what it cannot show: %s',
    (source) => expect(fromPromQL(source)).toBeUndefined(),
  )

  it('begins with what is asked of a type', () => {
    expect(toPromQL(startingPoint('x_total', 'counter'))).toBe('rate(x_total[5m])')
    expect(toPromQL(startingPoint('d_bucket', 'histogram'))).toBe('histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m])))')
    expect(toPromQL(startingPoint('d_count', 'histogram'))).toBe('rate(d_count[5m])')
    expect(toPromQL(startingPoint('t', 'gauge'))).toBe('t')
  })

  it('escapes regular expressions', () => {
    expect(escapedRegex('a.b|c(1)')).toBe('a\\.b\\|c\\(1\\)')
  })
})
