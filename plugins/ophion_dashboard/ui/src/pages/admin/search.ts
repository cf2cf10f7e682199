import { oneOf, text, type Search } from '@/lib/search'

export const ADMIN_TABS = ['account', 'keys', 'users', 'tenants', 'storage', 'audit'] as const
export type AdminTab = (typeof ADMIN_TABS)[number]

export interface AdminSearch {
  tab?: AdminTab
  /** Filters of the audit log. */
  who?: string
  action?: string
  target?: string
}

export function adminSearch(search: Search): AdminSearch {
  return { tab: oneOf(search.tab, ADMIN_TABS), who: text(search.who), action: text(search.action), target: text(search.target) }
}
