import type { Search } from '@/lib/search'

export function compareSearch(_search: Search): object {
  return {}
}

export function traceSearch(_search: Search): object {
  return {}
}

export function tracesSearch(_search: Search): object {
  return {}
}
