import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { Boxes, ScrollText, Waypoints } from 'lucide-react'
import { useMemo } from 'react'
import type { SchemaHostView } from '@/api/client'
import { DataTable } from '@/components/DataTable'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Facts, Stat } from '@/components/Stat'
import { Empty, Loaded } from '@/components/States'
import { bytes, percent, short } from '@/lib/format'
import { known, NoFigures, Share } from './Cells'
import { Arrival } from './Arrival'
import { containerColumns } from './ContainersPage'
import { isMissing, useContainerCourse, useContainers, useHost } from './data'
import { hostMetrics } from './hostMetrics'
import { MetricPanel } from './MetricPanel'
import { ServicesOf } from './ServicesOf'

export default function HostPage() {
  const { name } = useParams({ from: '/hosts/$name' })
  const { at } = useSearch({ from: '/hosts/$name' })
  const host = useHost(name)
  const metrics = useMemo(() => hostMetrics(name), [name])
  return (
    <Page title={name} crumbs={<Link to="/hosts">Hosts</Link>} actions={<Links name={name} />}>
      <Arrival at={at} />
      {isMissing(host.error) ? (
        <Empty title={`${name} has sent nothing in this time range`}>Choose a longer time range, or look at the <Link to="/hosts">list of hosts</Link>.</Empty>
      ) : (
        <>
          <Panel title="Now">
            <Loaded query={host} height={64}>
              {(found) => <Tiles host={found} />}
            </Loaded>
          </Panel>
          <div className="grid" style={{ '--least': '400px' } as React.CSSProperties}>
            {metrics.map((one) => (
              <MetricPanel key={one.title} metrics={one} at={at} />
            ))}
          </div>
          <Loaded query={host} height={160}>
            {(found) => <Parts host={found} />}
          </Loaded>
        </>
      )}
    </Page>
  )
}

function Links({ name }: { name: string }) {
  return (
    <>
      <Link to="/logs" search={{ q: `resource.host.name:"${name}"` } as never} className="button">
        <ScrollText size={14} aria-hidden /> Logs
      </Link>
      <Link to="/traces" search={{ attr: [`resource.host.name=${name}`] } as never} className="button">
        <Waypoints size={14} aria-hidden /> Traces
      </Link>
      <Link to="/containers" search={{ host: name } as never} className="button">
        <Boxes size={14} aria-hidden /> Containers
      </Link>
    </>
  )
}

function Tiles({ host }: { host: SchemaHostView }) {
  const { figures } = host
  if (figures.cpu_utilization === null && figures.memory_utilization === null && figures.load_1m === null) return <NoFigures />
  return (
    <div className="hosts-tiles">
      <Stat label="CPU" value={known(figures.cpu_utilization, percent)} />
      <Stat label="Load" value={known(figures.load_1m, short)} note={`${known(figures.load_5m, short)} in 5 min, ${known(figures.load_15m, short)} in 15 min`} />
      <Stat label="Memory" value={known(figures.memory_utilization, percent)} note={`${known(figures.memory_used_bytes, bytes)} of ${known(figures.memory_total_bytes, bytes)}`} />
      {figures.filesystems.slice(0, 3).map((one) => (
        <Stat key={one.mountpoint} label={`Disk ${one.mountpoint}`} value={percent(one.utilization)} note={`${bytes(one.used_bytes)} of ${bytes(one.total_bytes)}`} />
      ))}
    </div>
  )
}

function Parts({ host }: { host: SchemaHostView }) {
  const attributes = Object.entries(host.attributes).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)] as const)
  return (
    <>
      <ServicesOf title="Services on it" names={host.services} />
      <ContainersOf host={host.name} />
      <div className="grid">
        <Panel title="File systems">
          {host.figures.filesystems.length === 0 ? <Empty title="No file systems">The agent of this host sends none.</Empty> : null}
          <Facts
            facts={host.figures.filesystems.map((one) => [
              one.mountpoint,
              <Share key={one.mountpoint} label={`Used of ${one.mountpoint}`} fraction={one.utilization} />,
            ] as const)}
          />
        </Panel>
        <Panel title="Attributes">
          <Facts facts={attributes} />
        </Panel>
      </div>
    </>
  )
}

function ContainersOf({ host }: { host: string }) {
  const containers = useContainers({ host })
  const courses = useContainerCourse()
  const navigate = useNavigate()
  const columns = useMemo(() => containerColumns(courses).filter((one) => one.id !== 'host'), [courses])
  return (
    <Panel title="Containers on it" flush>
      <Loaded query={containers} height={120} isEmpty={(all) => all.length === 0} empty={<Empty title="No containers">The agent of this host reports none: docker_stats does.</Empty>}>
        {(all) => (
          <DataTable
            label="Containers"
            columns={columns}
            rows={all}
            rowKey={(one) => one.name}
            initialSort={{ id: 'cpu', down: true }}
            maxHeight={420}
            open={(one) => void navigate({ to: '/containers/$name', params: { name: one.name }, search: { host } as never })}
          />
        )}
      </Loaded>
    </Panel>
  )
}
