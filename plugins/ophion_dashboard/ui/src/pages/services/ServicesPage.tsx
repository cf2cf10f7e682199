import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Network } from 'lucide-react'
import { useCallback } from 'react'
import { DataTable } from '@/components/DataTable'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { count } from '@/lib/format'
import { useServiceColumns } from './columns'
import { useServices } from './data'
import './services.css'

export default function ServicesPage() {
  const { search = '' } = useSearch({ from: '/services' })
  const navigate = useNavigate()
  const services = useServices(search)
  const columns = useServiceColumns()
  const find = useCallback((text: string) => void navigate({ to: '.', search: ((before: object) => ({ ...before, search: text || undefined })) as never, replace: true }), [navigate])
  return (
    <Page
      title="Services"
      beside={services.data ? <span className="faint">{count(services.data.length)}</span> : null}
      actions={
        <Link to="/map" className="button">
          <Network size={14} aria-hidden /> Service map
        </Link>
      }
    >
      <div className="services-filters">
        <SearchField main label="Find services by name" value={search} set={find} />
      </div>
      <Panel flush>
        <Loaded query={services} height={240} isEmpty={(all) => all.length === 0} empty={<NoServices search={search} />}>
          {(all) => (
            <DataTable
              label="Services"
              columns={columns}
              rows={all}
              rowKey={(one) => one.name}
              initialSort={{ id: 'rate', down: true }}
              open={(one) => void navigate({ to: '/services/$name', params: { name: one.name } })}
            />
          )}
        </Loaded>
      </Panel>
    </Page>
  )
}

function NoServices({ search }: { search: string }) {
  return search ? (
    <Empty title={`No service has “${search}” in its name`}>Search for less, or choose a longer time range.</Empty>
  ) : (
    <Empty title="No service has sent spans in this time range">
      Point an OpenTelemetry SDK at <code>{location.hostname}:4317</code>, or choose a longer time range.
    </Empty>
  )
}
