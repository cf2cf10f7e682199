import type { Search } from '@/lib/search'

export function metricsSearch(_search: Search): object {
  return {}
}
