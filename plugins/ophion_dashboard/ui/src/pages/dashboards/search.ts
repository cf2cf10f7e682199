import { flag, list, number, text, type Search } from '@/lib/search'

export interface DashboardsSearch {
  search?: string
  tag?: string[]
  starred?: true
}

export function dashboardsSearch(search: Search): DashboardsSearch {
  return { search: text(search.search), tag: list(search.tag), starred: flag(search.starred) }
}

export type VariableKey = `var-${string}`

export interface DashboardSearch {
  /** `true` while the grid is changed, or the id of the panel that is. */
  edit?: string
  /** The whole screen, and nothing but panels. */
  tv?: true
  /** In TV mode: seconds until the next starred dashboard. */
  cycle?: number
  /** A new dashboard begins as this template. */
  template?: string
  /** A new dashboard begins as a copy of the one with this uid. */
  copy?: string
  /** An older version, to look at or to copy. */
  version?: number
  [variable: VariableKey]: string[] | undefined
}

export function dashboardSearch(search: Search): DashboardSearch {
  const variables = Object.entries(search).filter((entry): entry is [VariableKey, unknown] => /^var-[A-Za-z_]\w{0,39}$/.test(entry[0]))
  const cycle = number(search.cycle)
  return {
    edit: text(search.edit),
    tv: flag(search.tv),
    cycle: cycle === undefined ? undefined : Math.min(3600, Math.max(5, cycle)),
    template: text(search.template),
    copy: text(search.copy),
    version: number(search.version),
    ...Object.fromEntries(variables.map(([key, value]) => [key, list(value)?.slice(0, 200)])),
  }
}
