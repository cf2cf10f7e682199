import { csrfToken, text } from '@/api/client'
import { body, type Question } from './promql/run'

/** Return the values of an expression as a file's text. */
export function exported(question: Question, format: 'csv' | 'ndjson'): Promise<string> {
  return text('/api/metrics/query', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-csrf-token': csrfToken() },
    body: JSON.stringify({ ...body(question), format }),
  })
}

/** Hand a text to the person as a file. */
export function download(name: string, content: string, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

function shellQuoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`
}

/** Return a command that asks the same of the Prometheus API. */
export function curl(origin: string, { expression, range, step, instant }: Question): string {
  const path = instant ? 'query' : 'query_range'
  const times = instant
    ? [`time=${range.end / 1000}`]
    : [`start=${range.start / 1000}`, `end=${range.end / 1000}`, `step=${step}`]
  const data = [`query=${expression}`, ...times].map((one) => `  --data-urlencode ${shellQuoted(one)}`)
  return [`curl -G ${shellQuoted(`${origin}/api/v1/${path}`)}`, `  -H "Authorization: Bearer $OPHION_API_KEY"`, ...data].join(' \\\n')
}
