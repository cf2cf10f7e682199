/** What a panel asks, and what it gets. */
import { answer, api, type SchemaLogRecord, type SchemaTraceSummary } from '@/api/client'
import type { Range } from '@/lib/time'
import { niceStep, SECOND } from '@/lib/time'
import { runAll, type Outcome } from '@/pages/metrics/promql/run'
import { readTraceWords } from '../model/traces'
import type { PanelModel } from '../model/types'
import { fillPromQL, fillSearch, type Values } from '../model/variables'

export interface SeriesData {
  kind: 'series'
  outcomes: Outcome[]
  /** Seconds. */
  step: number
}

export interface LogsData {
  kind: 'logs'
  logs: SchemaLogRecord[]
}

export interface TracesData {
  kind: 'traces'
  traces: SchemaTraceSummary[]
}

export type PanelData = SeriesData | LogsData | TracesData

/** A panel's questions with everything filled in: equal for two panels that ask the same. */
export interface Asked {
  kind: 'promql' | 'logs' | 'traces' | 'nothing'
  expressions: string[]
  range: Range
  step: number
  instant: boolean
  limit: number
}

/** Return about as many points as a panel has room for. */
export function panelStep(panel: Pick<PanelModel, 'position'>, range: Range): number {
  return niceStep(range, Math.max(60, panel.position.w * 10))
}

/** Return whether the newest value is all that a panel shows. */
export function isInstant({ kind, options }: PanelModel): boolean {
  return (kind === 'table' || kind === 'bar' || kind === 'gauge') && options.reduce === 'last'
}

export function asked(panel: PanelModel, values: Values, range: Range): Asked {
  const step = panelStep(panel, range)
  const clockwork = { stepSeconds: step, rangeSeconds: (range.end - range.start) / SECOND }
  const kind = panel.kind === 'text' ? 'nothing' : (panel.queries[0]?.kind ?? 'nothing')
  const expressions = panel.queries.map(({ expression }) => (kind === 'promql' ? fillPromQL(expression, values, clockwork) : fillSearch(expression, values)))
  return { kind, expressions, range, step, instant: isInstant(panel), limit: panel.options.limit }
}

export async function ask(question: Asked, signal?: AbortSignal): Promise<PanelData> {
  if (question.kind === 'logs') return { kind: 'logs', logs: await askLogs(question, signal) }
  if (question.kind === 'traces') return { kind: 'traces', traces: await askTraces(question, signal) }
  const { expressions, range, step, instant } = question
  return { kind: 'series', step, outcomes: await runAll(expressions.map((expression) => ({ expression, range, step, instant })), signal) }
}

async function askLogs({ expressions, range, limit }: Asked, signal?: AbortSignal): Promise<SchemaLogRecord[]> {
  const pages = await Promise.all(
    expressions.map((query) => answer(api.GET('/api/logs', { params: { query: { query, from: String(range.start), to: String(range.end), limit } }, signal }))),
  )
  const all = pages.flatMap((page) => (page as { logs: SchemaLogRecord[] }).logs)
  return pages.length < 2 ? all : all.sort((left, right) => right.time.localeCompare(left.time)).slice(0, limit)
}

async function askTraces({ expressions, range, limit }: Asked, signal?: AbortSignal): Promise<SchemaTraceSummary[]> {
  const pages = await Promise.all(
    expressions.map((expression) => {
      const query = { ...readTraceWords(expression), from: String(range.start), to: String(range.end), limit: Math.min(limit, 100) }
      return answer(api.GET('/api/traces', { params: { query: query as never }, signal }))
    }),
  )
  return pages.flatMap((page) => (page as { traces: SchemaTraceSummary[] }).traces).slice(0, limit)
}

/** Return what went wrong with a panel's questions, one after the other. */
export function errorsOf(data: PanelData | undefined): Error[] {
  return data?.kind === 'series' ? data.outcomes.flatMap((outcome) => (outcome.error ? [outcome.error] : [])) : []
}
