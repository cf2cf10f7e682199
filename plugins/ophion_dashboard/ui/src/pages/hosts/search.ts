import { number, text, type Search } from '@/lib/search'

export interface HostsSearch {
  /** Text that the name contains. */
  search?: string
  /** The time one came from, as Unix milliseconds: it is marked in the charts. */
  at?: number
}

export interface ContainersSearch extends HostsSearch {
  host?: string
  service?: string
}

export function hostsSearch(search: Search): HostsSearch {
  return { search: text(search.search), at: number(search.at) }
}

export function containersSearch(search: Search): ContainersSearch {
  return { ...hostsSearch(search), host: text(search.host), service: text(search.service) }
}
