import { flag, oneOf, text, type Search } from '@/lib/search'

export const DEPTHS = ['1', '2', '3', 'all'] as const
export type Depth = (typeof DEPTHS)[number]

export interface ServicesSearch {
  /** Text that the name contains. */
  search?: string
}

export interface MapSearch extends ServicesSearch {
  /** The service in the middle, and how many calls away others are shown. */
  service?: string
  depth?: Depth
  view?: 'table'
  /** Without databases, queues and addresses. */
  plain?: true
}

export function mapSearch(search: Search): MapSearch {
  return {
    ...servicesSearch(search),
    service: text(search.service),
    depth: oneOf(search.depth, DEPTHS),
    view: oneOf(search.view, ['table'] as const),
    plain: flag(search.plain),
  }
}

export function servicesSearch(search: Search): ServicesSearch {
  return { search: text(search.search) }
}
