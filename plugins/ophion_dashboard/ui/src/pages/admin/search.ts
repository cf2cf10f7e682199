import type { Search } from '@/lib/search'

export function adminSearch(_search: Search): object {
  return {}
}
