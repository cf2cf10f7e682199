import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { answer, api, type SchemaTracePage } from '@/api/client'
import type { Range } from '@/lib/time'
import { filtersOf, type Filters } from './filters'
import type { Point } from './scatterScale'
import type { TracesSearch } from './search'

export const PAGE = 50
const MOST_POINTS = 2000

/** Return the filters of a search; the same object while they are the same. */
export function useFilters(search: TracesSearch): Filters {
  const text = JSON.stringify(filtersOf(search))
  return useMemo(() => JSON.parse(text) as Filters, [text])
}

function asked(filters: Filters, range: Range) {
  return { ...filters, from: String(range.start), to: String(range.end) }
}

/** The traces of the table, page after page. */
export function useTraceList(filters: Filters, range: Range, sort: 'newest' | 'longest') {
  const query = useInfiniteQuery({
    queryKey: ['traces', 'list', range, filters, sort],
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }) => {
      const wanted = { ...asked(filters, range), sort, limit: PAGE, cursor: pageParam }
      return (await answer(api.GET('/api/traces', { params: { query: wanted }, signal }))) as SchemaTracePage
    },
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  })
  const traces = useMemo(() => query.data?.pages.flatMap((page) => page.traces) ?? [], [query.data])
  return { query, traces }
}

export function useHistogram(filters: Filters, range: Range) {
  return useQuery({
    queryKey: ['traces', 'histogram', range, filters],
    queryFn: ({ signal }) => answer(api.GET('/api/traces/histogram', { params: { query: asked(filters, range) }, signal })),
  })
}

export function useFacets(filters: Filters, range: Range) {
  return useQuery({
    queryKey: ['traces', 'facets', range, filters],
    queryFn: ({ signal }) => answer(api.GET('/api/traces/facets', { params: { query: { ...asked(filters, range), limit: 30 } }, signal })),
  })
}

export interface Points {
  points: Point[]
  traces: number
  sampled: boolean
}

/** The traces of the scatter: all, or an even sample and the slowest. */
export function usePoints(filters: Filters, range: Range) {
  return useQuery({
    queryKey: ['traces', 'points', range, filters],
    queryFn: async ({ signal }): Promise<Points> => {
      const found = await answer(api.GET('/api/traces/points', { params: { query: { ...asked(filters, range), limit: MOST_POINTS } }, signal }))
      const points = found.points.map((one) => ({
        id: one.trace_id,
        time: Date.parse(one.time),
        duration: one.duration_ms,
        failed: one.failed,
        label: `${one.service}: ${one.operation}`,
      }))
      return { points, traces: found.traces, sampled: found.sampled }
    },
    structuralSharing: false,
  })
}
