/** Which unit the values of an expression have, from the metadata of the metrics in it. */

export interface Metadata {
  type: string
  unit: string
  help: string
}

export type MetadataByName = ReadonlyMap<string, Metadata>

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/g
const STRINGS = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g
const PER_SECOND = /\b(rate|irate|deriv|idelta_per_second)\s*\(/
const UNITLESS = /\b(count|count_values|group|absent|absent_over_time|changes|resets|count_over_time|present_over_time)\s*(by\s*\([^)]*\)|without\s*\([^)]*\))?\s*\(/

/** Return the metadata of a series' name; those of a histogram are kept under its base name in some sources. */
export function metadataOf(name: string, known: MetadataByName): Metadata | undefined {
  return known.get(name) ?? known.get(name.replace(/_(bucket|count|sum|total)$/, ''))
}

/** Return the names of known metrics in an expression, in their order. */
export function metricsIn(expression: string, known: MetadataByName): string[] {
  const outside = expression.replace(STRINGS, (text) => (known.has(text.slice(1, -1)) ? ` ${text.slice(1, -1)} ` : '""'))
  const found = [...outside.matchAll(NAME)].map(([name]) => name)
  return [...new Set(found.filter((name) => metadataOf(name, known)))]
}

function unitOfMetric(name: string, known: MetadataByName): string {
  return name.endsWith('_count') && !known.get(name)?.unit.startsWith('{') ? '' : (metadataOf(name, known)?.unit ?? '')
}

function perSecond(unit: string): string {
  // Seconds per second are a share, such as the part of a core that is busy.
  return unit === 's' ? '' : `${unit.startsWith('{') ? '' : unit}/s`
}

/** Return the unit of an expression's values, '' where it has none or cannot be told. */
export function unitOf(expression: string, known: MetadataByName): string {
  const names = metricsIn(expression, known)
  const [first] = names
  if (first === undefined || UNITLESS.test(expression)) return ''
  const unit = unitOfMetric(first, known)
  if (/\bhistogram_quantile\s*\(/.test(expression)) return metadataOf(first, known)?.unit ?? ''
  if (expression.replace(STRINGS, '').includes('/')) return ofDivision(names, known)
  return PER_SECOND.test(expression) ? perSecond(unit) : unit
}

/** A sum by its count is a mean in the unit of the sum; anything else is a share, or unknown. */
function ofDivision(names: readonly string[], known: MetadataByName): string {
  const [above = '', below = ''] = names
  const isMean = above.endsWith('_sum') && below === above.replace(/_sum$/, '_count')
  return isMean ? unitOfMetric(above, known) : ''
}

/** Say whether the values of an expression are of the kind that was measured, as those of exemplars are. */
export function showsMeasure(expression: string): boolean {
  return /\bhistogram_quantile\s*\(/.test(expression) || /_sum\b[^]*\/[^]*_count\b/.test(expression)
}
