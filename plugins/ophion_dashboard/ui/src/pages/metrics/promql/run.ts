/** Ask for the values of expressions. */
import { answer, api, ApiError, type SchemaPromQlResult } from '@/api/client'
import type { Range } from '@/lib/time'
import type { Series } from './series'

export interface Question {
  expression: string
  range: Range
  /** Seconds. */
  step: number
  /** At the end of the range only. */
  instant?: boolean
}

export interface Outcome {
  expression: string
  series: Series[]
  error?: Error
}

export function body({ expression, range, step, instant }: Question) {
  const query = expression.trim()
  return instant
    ? ({ query, time: String(range.end), from: null, to: null, step: null, format: 'json' } as const)
    : ({ query, from: String(range.start), to: String(range.end), step: `${step}s`, time: null, format: 'json' } as const)
}

/** Return the series of an expression; throws ApiError. */
export async function runOne(question: Question, signal?: AbortSignal): Promise<Series[]> {
  const result = await answer(api.POST('/api/metrics/query', { body: body(question), signal }))
  return (result as SchemaPromQlResult).series
}

/** Run several expressions at once: each has its own outcome, and an error of one leaves the others. */
export async function runAll(questions: readonly Question[], signal?: AbortSignal): Promise<Outcome[]> {
  return Promise.all(
    questions.map(async (question) => {
      const { expression } = question
      if (!expression.trim()) return { expression, series: [] }
      try {
        return { expression, series: await runOne(question, signal) }
      } catch (error) {
        const isTransient = !(error instanceof ApiError) || error.status === 0 || error.status === 503
        // What is asked again by itself, and what was cancelled, is no answer.
        if (questions.length === 1 && isTransient) throw error
        if (signal?.aborted) throw error
        return { expression, series: [], error: error instanceof Error ? error : new Error(String(error)) }
      }
    }),
  )
}

const DURATION: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }

/** Return the seconds of `30s` or `5m`. */
export function stepSeconds(text: string | undefined): number | undefined {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text ?? '')
  return match ? Number(match[1]) * (DURATION[match[2] ?? 's'] ?? 1) : undefined
}
