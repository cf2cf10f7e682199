import { Link, useNavigate } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { SchemaOverview } from '@/api/client'
import { DataTable } from '@/components/DataTable'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { containerColumns } from '../hosts/ContainersPage'
import { useContainerCourse, useContainers, useHostCourse } from '../hosts/data'
import { hostColumns } from '../hosts/HostsPage'
import { useServiceColumns } from '../services/columns'
import { FrequentErrors } from '../services/Recent'
import { useHealth, useOverview } from './data'
import { Ingest } from './Ingest'
import { Problems } from './Problems'
import { SlowOperations } from './SlowOperations'
import { Welcome } from './Welcome'
import './overview.css'

export default function OverviewPage() {
  const overview = useOverview()
  const containers = useContainers()
  const health = useHealth()
  const isNew = overview.data !== undefined && isEmpty(overview.data) && containers.data?.length === 0
  return (
    <Page title="Overview">
      {isNew ? (
        <Welcome />
      ) : (
        <>
          <Loaded query={overview} height={140}>
            {(found) => (
              <div className="overview-top">
                <Problems services={found.services} hosts={found.hosts} containers={containers.data ?? []} components={health.data?.components ?? []} />
                <Ingest ingest={found.ingest} levels={found.logs_by_severity} />
              </div>
            )}
          </Loaded>
          <Loaded query={overview} height={400}>
            {(found) => (
              <>
                <Services overview={found} />
                <Hosts overview={found} />
              </>
            )}
          </Loaded>
          <Containers />
          <Loaded query={overview} height={200}>
            {(found) => (
              <div className="grid" style={{ '--least': '460px' } as React.CSSProperties}>
                <FrequentErrors errors={found.top_errors} named />
                <SlowOperations operations={found.slowest_operations} />
              </div>
            )}
          </Loaded>
        </>
      )}
    </Page>
  )
}

function isEmpty({ services, hosts, logs_by_severity, ingest }: SchemaOverview): boolean {
  return services.length + hosts.length + Object.keys(logs_by_severity).length === 0 && ingest.samples_per_second === 0
}

function All({ to, name }: { to: '/services' | '/hosts' | '/containers'; name: string }) {
  return (
    <Link to={to} className="button quiet">
      {name}
    </Link>
  )
}

const HEIGHT = 318

function Services({ overview }: { overview: SchemaOverview }) {
  const columns = useServiceColumns()
  const navigate = useNavigate()
  return (
    <Panel title="Services" flush actions={<All to="/services" name="All services" />}>
      {overview.services.length === 0 ? (
        <Empty title="No service has sent spans in this time range">
          Point an OpenTelemetry SDK at <code>{location.hostname}:4317</code>.
        </Empty>
      ) : (
        <DataTable label="Services" columns={columns} rows={overview.services} rowKey={(one) => one.name} initialSort={{ id: 'rate', down: true }} maxHeight={HEIGHT} open={(one) => void navigate({ to: '/services/$name', params: { name: one.name } })} />
      )}
    </Panel>
  )
}

function Hosts({ overview }: { overview: SchemaOverview }) {
  const courses = useHostCourse()
  const columns = useMemo(() => hostColumns(courses), [courses])
  const navigate = useNavigate()
  return (
    <Panel title="Hosts" flush actions={<All to="/hosts" name="All hosts" />}>
      {overview.hosts.length === 0 ? (
        <Empty title="No host has sent anything in this time range">Run an agent with the receiver hostmetrics on a host.</Empty>
      ) : (
        <DataTable label="Hosts" columns={columns} rows={overview.hosts} rowKey={(one) => one.name} initialSort={{ id: 'cpu', down: true }} maxHeight={HEIGHT} open={(one) => void navigate({ to: '/hosts/$name', params: { name: one.name } })} />
      )}
    </Panel>
  )
}

const CONTAINER_COLUMNS = ['name', 'cpu', 'course', 'memory', 'restarts', 'uptime', 'host', 'services']

function Containers() {
  const containers = useContainers()
  const courses = useContainerCourse()
  const columns = useMemo(() => containerColumns(courses).filter((column) => CONTAINER_COLUMNS.includes(column.id)), [courses])
  const navigate = useNavigate()
  return (
    <Panel title="Containers" flush actions={<All to="/containers" name="All containers" />}>
      <Loaded query={containers} height={160} isEmpty={(all) => all.length === 0} empty={<Empty title="No container has sent anything in this time range">An agent with the receiver docker_stats sees all containers of its host.</Empty>}>
        {(all) => (
          <DataTable label="Containers" columns={columns} rows={all} rowKey={(one) => `${one.name} ${one.host}`} initialSort={{ id: 'cpu', down: true }} maxHeight={HEIGHT} open={(one) => void navigate({ to: '/containers/$name', params: { name: one.name }, search: { host: one.host || undefined } as never })} />
        )}
      </Loaded>
    </Panel>
  )
}
