import { useQuery } from '@tanstack/react-query'
import { answer, api } from '@/api/client'
import { useBounds } from '../hosts/data'

const TREND_POINTS = 30

/** Everything but containers in one answer. */
export function useOverview() {
  const bounds = useBounds()
  return useQuery({
    queryKey: ['overview', bounds],
    queryFn: ({ signal }) => answer(api.GET('/api/dashboard/overview', { params: { query: { ...bounds, points: TREND_POINTS } }, signal })),
  })
}

export function useHealth() {
  const bounds = useBounds()
  return useQuery({ queryKey: ['health', bounds], queryFn: ({ signal }) => answer(api.GET('/api/health', { signal })) })
}
