import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { answer, api, ApiError } from '@/api/client'
import { useTime } from '@/shell/time'
import { windowOf } from './promql'
import { usePromql } from './usePromql'

/** Return the part of a query that says which time. */
export function useBounds(): { from: string; to: string } {
  const { range } = useTime()
  return useMemo(() => ({ from: String(Math.floor(range.start)), to: String(Math.ceil(range.end)) }), [range])
}

export function useHosts(search = '') {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['hosts', bounds, search],
    queryFn: ({ signal }) => answer(api.GET('/api/hosts', { params: { query: { ...bounds, search, limit: 500 } }, signal })).then((page) => page.hosts),
  })
}

export function useHost(name: string) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['host', name, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/hosts/{name}', { params: { path: { name }, query: bounds }, signal })),
  })
}

export interface ContainerFilters {
  search?: string
  host?: string
  service?: string
}

export function useContainers(filters: ContainerFilters = {}) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['containers', bounds, filters],
    queryFn: ({ signal }) =>
      answer(api.GET('/api/containers', { params: { query: { ...bounds, ...filters, limit: 1000 } }, signal })).then((page) => page.containers),
  })
}

export function useContainer(name: string, host?: string) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['container', name, host, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/containers/{name}', { params: { path: { name }, query: { ...bounds, host } }, signal })),
  })
}

export type Course = ReadonlyMap<string, readonly (number | null)[]>

function useCourse(key: string, expression: (step: number) => string, label: string): Course {
  const found = usePromql([key], (step) => [{ query: expression(step), name: (labels) => labels[label] ?? '' }], 60)
  return useMemo(() => new Map(found.data?.map((line) => [line.name ?? '', line.points.map(([, value]) => value)])), [found.data])
}

/** Return the course of the busy share of each host's processors, by host. */
export function useHostCourse(): Course {
  return useCourse('cpu of hosts', (step) => `1 - avg by (host_name) (rate(system_cpu_time_seconds_total{state="idle"}[${windowOf(step)}]))`, 'host_name')
}

/** Return the course of the cores that each container uses, by its name. */
export function useContainerCourse(): Course {
  return useCourse('cpu of containers', () => 'sum by (container_name) (container_cpu_utilization_ratio) / 100', 'container_name')
}

/** Tell whether an answer is that there is no such thing. */
export function isMissing(error: Error | null): boolean {
  return error instanceof ApiError && error.status === 404
}
