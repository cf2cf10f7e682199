/** What is known of metrics and labels, from the Prometheus API; one cache for the editors, the builder and the browser. */
import { useQuery, useQueryClient, type QueryClient } from '@tanstack/react-query'
import { useMemo } from 'react'
import { DAY } from '@/lib/time'
import { selector } from './model'
import { prometheus } from './prometheus'
import type { Metadata } from './units'

const FRESH_MS = 60_000
const LOOKBACK_MS = DAY
const MOST_VALUES = 2000

function since(): { start: string; limit: number } {
  // Whole minutes: the same question is answered from the cache.
  return { start: String(Math.floor((Date.now() - LOOKBACK_MS) / 60_000) * 60), limit: MOST_VALUES }
}

function texts(data: unknown): string[] {
  return Array.isArray(data) ? data.map(String) : []
}

function match(metric: string | undefined): { 'match[]'?: string } {
  return metric ? { 'match[]': selector(metric, []) } : {}
}

async function fetchMetadata(): Promise<Map<string, Metadata>> {
  const data = (await prometheus('metadata', { limit_per_metric: 1 })) as Record<string, Metadata[]> | undefined
  return new Map(Object.entries(data ?? {}).flatMap(([name, [first]]) => (first ? [[name, first] as const] : [])))
}

export const metadataQuery = { queryKey: ['promql', 'metadata'], queryFn: fetchMetadata, staleTime: FRESH_MS, structuralSharing: false }

export function labelNamesQuery(metric?: string) {
  return {
    queryKey: ['promql', 'labels', metric],
    queryFn: async () => texts(await prometheus('labels', { ...match(metric), ...since() })),
    staleTime: FRESH_MS,
  }
}

export function labelValuesQuery(name: string, metric?: string) {
  return {
    queryKey: ['promql', 'values', name, metric],
    queryFn: async () => texts(await prometheus(`label/${encodeURIComponent(name)}/values`, { ...match(metric), ...since() })),
    staleTime: FRESH_MS,
  }
}

const NONE: ReadonlyMap<string, Metadata> = new Map()

export function useMetadata(): ReadonlyMap<string, Metadata> {
  return useQuery(metadataQuery).data ?? NONE
}

/** What the completion asks; an error means that there is nothing to offer. */
export interface NameSource {
  metadata: () => Promise<ReadonlyMap<string, Metadata>>
  metricNames: () => Promise<string[]>
  labelNames: (metric?: string) => Promise<string[]>
  labelValues: (name: string, metric?: string) => Promise<string[]>
}

export function nameSource(client: QueryClient): NameSource {
  const none = () => []
  return {
    metadata: () => client.fetchQuery(metadataQuery).catch(() => NONE),
    metricNames: () => client.fetchQuery(labelValuesQuery('__name__')).catch(none),
    labelNames: (metric) => client.fetchQuery(labelNamesQuery(metric)).catch(none),
    labelValues: (name, metric) => client.fetchQuery(labelValuesQuery(name, metric)).catch(none),
  }
}

export function useNameSource(): NameSource {
  const client = useQueryClient()
  return useMemo(() => nameSource(client), [client])
}
