import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { useMemo } from 'react'
import { answer, api, type SchemaPromQlResult, type SchemaPromQlSeries } from '@/api/client'
import type { Line } from '@/components/chart/data'
import { niceStep, type Range } from '@/lib/time'
import { useTime } from '@/shell/time'
import { lines, type Query } from './promql'

function ask(query: string, range: Range, step: number, signal: AbortSignal): Promise<SchemaPromQlSeries[]> {
  // Whole steps: points stay where they are while the range moves on.
  const ms = step * 1000
  const body = { query, from: Math.floor(range.start / ms) * ms, to: Math.floor(range.end / ms) * ms, step: `${step}s`, time: null, format: 'json' as const }
  return answer(api.POST('/api/metrics/query', { body, signal })).then((found) => (found as SchemaPromQlResult).series)
}

/** Ask for the series of expressions over the page's range, in parallel; `make` gets the step in seconds. */
export function usePromql(key: readonly unknown[], make: (step: number) => readonly Query[], pointCount = 240): UseQueryResult<Line[]> {
  const { range } = useTime()
  const step = niceStep(range, pointCount)
  const queries = make(step)
  const texts = queries.map((one) => one.query)
  const found = useQuery({
    queryKey: ['promql', ...key, texts, range, step],
    queryFn: ({ signal }) => Promise.all(texts.map((query) => ask(query, range, step, signal))),
  })
  const data = useMemo(
    () => found.data?.flatMap((series, index) => lines(queries[index] ?? { query: '', name: '' }, series, step)),
    // The names follow from the texts, which are part of the data's key.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [found.data, step],
  )
  return { ...found, data } as UseQueryResult<Line[]>
}
