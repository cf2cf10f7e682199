import type { Search } from '@/lib/search'

export function logsSearch(_search: Search): object {
  return {}
}
