import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { answer, api, type SchemaLogPage } from '@/api/client'
import type { Range } from '@/lib/time'
import type { Filters } from './query'
import type { Entry } from './records'

const PAGE = 300

/** What a request of records says where it does not choose. */
export const ALL_RECORDS = { service: null, severity_min: null, trace_id: null, cursor: null, format: 'json' } as const

export function entriesOf(page: SchemaLogPage): Entry[] {
  return page.logs.map((record) => ({ ...record, resource: page.resources[record.resource] ?? {} }))
}

function bounds(range: Range): { from: string; to: string } {
  return { from: String(range.start), to: String(range.end) }
}

/** Records of a range, page by page. */
export function useLogs(range: Range, filters: Filters, order: 'newest' | 'oldest', on: boolean) {
  const query = useInfiniteQuery({
    queryKey: ['logs', range, filters, order],
    enabled: on,
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: SchemaLogPage) => page.next_cursor ?? undefined,
    queryFn: ({ pageParam, signal }) =>
      answer(api.POST('/api/logs/query', { body: { ...ALL_RECORDS, ...bounds(range), ...filters, order, limit: PAGE, cursor: pageParam ?? null }, signal })) as Promise<SchemaLogPage>,
  })
  const entries = useMemo(() => query.data?.pages.flatMap(entriesOf) ?? [], [query.data])
  return { ...query, entries }
}

export function useHistogram(range: Range, filters: Filters) {
  return useQuery({
    queryKey: ['logs', 'histogram', range, filters],
    queryFn: ({ signal }) => answer(api.GET('/api/logs/histogram', { params: { query: { ...bounds(range), ...filters } }, signal })),
  })
}

/** The values of an attribute, the most frequent first. */
export function useValues(range: Range, key: string) {
  return useQuery({
    queryKey: ['attributes', key, range],
    staleTime: 60_000,
    queryFn: ({ signal }) => answer(api.GET('/api/attributes/{key}/values', { params: { path: { key }, query: { ...bounds(range), limit: 50 } }, signal })),
  })
}
