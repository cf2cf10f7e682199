import { useQuery } from '@tanstack/react-query'
import { answer, api, type SchemaLogPage, type SchemaTracePage } from '@/api/client'
import { useBounds } from '../hosts/data'

/** About how many points a sparkline has. */
const TREND_POINTS = 30
/** About how many bars the charts of a service have. */
const COURSE_POINTS = 60

export function useServices(search = '') {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['services', bounds, search],
    queryFn: ({ signal }) =>
      answer(api.GET('/api/services', { params: { query: { ...bounds, search, limit: 1000, points: TREND_POINTS } }, signal })).then((found) => found.services),
  })
}

export function useService(name: string) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['service', name, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/services/{name}/view', { params: { path: { name }, query: { ...bounds, points: COURSE_POINTS } }, signal })),
  })
}

export function useOperations(name: string) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['operations', name, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/services/{name}/operations', { params: { path: { name }, query: { ...bounds, limit: 500 } }, signal })),
  })
}

/** Ask who calls whom, of all services or around one. */
export function useMap(service: string | undefined, peers: boolean) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['map', service, peers, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/services/map', { params: { query: { ...bounds, service, peers } }, signal })),
  })
}

export function useTraces(service: string, { status, kind, sort }: { status?: 'error'; sort?: 'newest' | 'longest'; kind?: 'server' }) {
  const bounds = useBounds()
  const query = { ...bounds, service: [service], status: status && [status], kind: kind && [kind], sort, limit: 8 }
  return useQuery({
    queryKey: ['traces of a service', query],
    queryFn: ({ signal }) => answer(api.GET('/api/traces', { params: { query }, signal })).then((page) => (page as SchemaTracePage).traces),
  })
}

export function useErrorLogs(service: string) {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['error logs of a service', service, bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/logs', { params: { query: { ...bounds, service, severity_min: 'error', limit: 10 } }, signal })).then((page) => (page as SchemaLogPage).logs),
  })
}
