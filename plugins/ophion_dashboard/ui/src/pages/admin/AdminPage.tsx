import { getRouteApi } from '@tanstack/react-router'
import { Page } from '@/components/Page'
import { Tabs, type TabItem } from '@/components/Tabs'
import { useSession } from '@/shell/session'
import { Account } from './Account'
import { Audit } from './Audit'
import { Keys } from './Keys'
import type { AdminTab } from './search'
import { Storage } from './Storage'
import { Tenants } from './Tenants'
import { Users } from './Users'
import './admin.css'

const route = getRouteApi('/admin')

interface Item extends TabItem {
  id: AdminTab
  admin?: true
}

const ITEMS: readonly Item[] = [
  { id: 'account', name: 'My account', content: () => <Account /> },
  { id: 'keys', name: 'Keys', content: () => <Keys /> },
  { id: 'users', name: 'Users', admin: true, content: () => <Users /> },
  { id: 'tenants', name: 'Tenants and retention', admin: true, content: () => <Tenants /> },
  { id: 'storage', name: 'Storage', content: () => <Storage /> },
  { id: 'audit', name: 'Audit log', admin: true, content: () => <Audit /> },
]

/** Who may do what, what is kept for how long, and who changed it. The server decides; this page shows what it allows. */
export default function AdminPage() {
  const { tab } = route.useSearch()
  const navigate = route.useNavigate()
  const { may } = useSession()
  const items = ITEMS.filter((item) => !item.admin || may('admin'))
  const chosen = items.find((item) => item.id === tab) ?? items[0]
  return (
    <Page title="Administration">
      <Tabs
        label="Administration"
        tabs={items}
        value={chosen?.id ?? 'account'}
        set={(next) => void navigate({ search: (before) => ({ ...before, tab: next as AdminTab }) })}
      />
    </Page>
  )
}
