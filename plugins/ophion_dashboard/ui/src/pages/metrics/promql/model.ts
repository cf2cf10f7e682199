/** A query as the builder shows it, and the PromQL that it means. */

export const OPERATORS = ['=', '!=', '=~', '!~'] as const
export type Operator = (typeof OPERATORS)[number]

export interface Filter {
  label: string
  operator: Operator
  value: string
}

export const OVER_TIME = ['', 'rate', 'irate', 'increase', 'delta', 'avg_over_time', 'min_over_time', 'max_over_time', 'sum_over_time'] as const
export type OverTime = (typeof OVER_TIME)[number]

export const AGGREGATIONS = ['', 'sum', 'avg', 'min', 'max', 'count', 'stddev'] as const
export type Aggregation = (typeof AGGREGATIONS)[number]

export interface Built {
  metric: string
  filters: Filter[]
  overTime: OverTime
  /** The window of `overTime`, such as 5m. */
  window: string
  aggregation: Aggregation
  by: string[]
  /** 0 to 1: of a histogram's buckets. */
  quantile?: number
}

export const EMPTY: Built = { metric: '', filters: [], overTime: '', window: '5m', aggregation: '', by: [] }

export function quoted(value: string): string {
  return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`
}

/** Return a text as a regular expression that matches it alone (RE2, as PromQL has it). */
export function escapedRegex(value: string): string {
  return value.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&')
}

const LEGACY_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LEGACY_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/

function labelName(name: string): string {
  return LEGACY_LABEL.test(name) ? name : quoted(name)
}

export function selector(metric: string, filters: readonly Filter[]): string {
  const matchers = filters.filter(({ label }) => label).map(({ label, operator, value }) => `${labelName(label)}${operator}${quoted(value)}`)
  const isPlain = metric === '' || LEGACY_NAME.test(metric)
  const inside = (isPlain ? matchers : [quoted(metric), ...matchers]).join(', ')
  return `${isPlain ? metric : ''}${inside ? `{${inside}}` : ''}`
}

export function toPromQL(built: Built): string {
  if (!built.metric) return ''
  const plain = selector(built.metric, built.filters)
  const inner = built.overTime ? `${built.overTime}(${plain}[${built.window}])` : plain
  if (built.quantile !== undefined) {
    return `histogram_quantile(${built.quantile}, ${aggregated('sum', ['le', ...built.by], inner)})`
  }
  return built.aggregation ? aggregated(built.aggregation, built.by, inner) : inner
}

function aggregated(name: string, by: readonly string[], inner: string): string {
  return by.length ? `${name} by (${by.map(labelName).join(', ')}) (${inner})` : `${name}(${inner})`
}

/** Return what somebody wants to see who chooses a metric of this type. */
export function startingPoint(metric: string, type: string, window = '5m'): Built {
  if (type === 'histogram' && metric.endsWith('_bucket')) return { ...EMPTY, metric, overTime: 'rate', window, quantile: 0.95 }
  const isCounted = type === 'counter' || (type === 'histogram' && /_(count|sum)$/.test(metric))
  return isCounted ? { ...EMPTY, metric, overTime: 'rate', window } : { ...EMPTY, metric, window }
}
