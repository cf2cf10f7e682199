import type { Search } from '@/lib/search'

export function dashboardSearch(_search: Search): object {
  return {}
}

export function dashboardsSearch(_search: Search): object {
  return {}
}
