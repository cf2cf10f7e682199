import type { Search } from '@/lib/search'

export function mapSearch(_search: Search): object {
  return {}
}

export function servicesSearch(_search: Search): object {
  return {}
}
