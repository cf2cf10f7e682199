import type { Search } from '@/lib/search'

export function hostsSearch(_search: Search): object {
  return {}
}

export function containersSearch(_search: Search): object {
  return {}
}
