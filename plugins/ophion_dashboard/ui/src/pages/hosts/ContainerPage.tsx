import { Link, useParams, useSearch } from '@tanstack/react-router'
import { ScrollText, Server } from 'lucide-react'
import { useMemo } from 'react'
import type { SchemaContainerView } from '@/api/client'
import { Badge } from '@/components/Badge'
import { CopyButton } from '@/components/Copy'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Facts, Stat } from '@/components/Stat'
import { Empty, Loaded } from '@/components/States'
import { bytes, count, duration, percent, short } from '@/lib/format'
import { Arrival } from './Arrival'
import { known, NoFigures } from './Cells'
import { containerMetrics } from './containerMetrics'
import { isMissing, useContainer } from './data'
import { MetricPanel } from './MetricPanel'
import { HostLink, ServiceNames } from './Names'
import { ServicesOf } from './ServicesOf'

export default function ContainerPage() {
  const { name } = useParams({ from: '/containers/$name' })
  const { host, at } = useSearch({ from: '/containers/$name' })
  const container = useContainer(name, host)
  const found = container.data
  return (
    <Page title={found?.name ?? name} crumbs={<Link to="/containers">Containers</Link>} beside={<Restarted container={found} />} actions={found ? <Links container={found} at={at} /> : null}>
      <Arrival at={at} />
      {isMissing(container.error) ? (
        <Empty title={`${name} has sent nothing in this time range`}>
          Choose a longer time range, or look at the <Link to="/containers">list of containers</Link>.
        </Empty>
      ) : (
        <Loaded query={container} height={400}>
          {(one) => <Body container={one} at={at} />}
        </Loaded>
      )}
    </Page>
  )
}

function Restarted({ container }: { container: SchemaContainerView | undefined }) {
  const restarts = container?.figures.restarts
  return restarts ? <Badge tone="warn">{count(restarts)} restarts</Badge> : null
}

function Links({ container, at }: { container: SchemaContainerView; at: number | undefined }) {
  const condition = container.id ? `resource.container.id:"${container.id}"` : `resource.container.name:"${container.name}"`
  return (
    <>
      <Link to="/logs" search={{ q: condition } as never} className="button">
        <ScrollText size={14} aria-hidden /> Logs
      </Link>
      {container.host ? (
        <Link to="/hosts/$name" params={{ name: container.host }} search={{ at } as never} className="button">
          <Server size={14} aria-hidden /> Host
        </Link>
      ) : null}
    </>
  )
}

function Body({ container, at }: { container: SchemaContainerView; at: number | undefined }) {
  const metrics = useMemo(() => containerMetrics(container.selector), [container.selector])
  const labels = Object.entries(container.attributes).filter(([key]) => !FACTS.includes(key))
  return (
    <>
      <Panel title="Now">
        <Tiles container={container} />
      </Panel>
      <div className="grid" style={{ '--least': '400px' } as React.CSSProperties}>
        {metrics.map((one) => (
          <MetricPanel key={one.title} metrics={one} at={at} />
        ))}
      </div>
      <ServicesOf title="Services in it" names={container.services} />
      <div className="grid">
        <Panel title="Container">
          <Facts
            facts={[
              ['Image', container.image || '-'],
              ['Id', container.id ? <span key="id" className="row"><code className="ellipsis">{container.id}</code><CopyButton label="Copy the id" text={container.id} /></span> : '-'],
              ['Runtime', container.runtime || '-'],
              ['Host', <HostLink key="host" name={container.host} />],
              ['Services', <ServiceNames key="services" names={container.services} most={20} />],
            ]}
          />
        </Panel>
        <Panel title="Labels and attributes">
          {labels.length === 0 ? <Empty title="No labels">docker_stats sends those labels that container_labels_to_metric_labels names.</Empty> : null}
          <Facts facts={labels.map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)] as const)} />
        </Panel>
      </div>
    </>
  )
}

const FACTS = ['container.id', 'container.name', 'container.image.name', 'container.runtime', 'host.name']

function Tiles({ container }: { container: SchemaContainerView }) {
  const { figures } = container
  const perSecond = (value: number) => `${bytes(value)}/s`
  if (Object.values(figures).every((value) => value === null)) return <NoFigures />
  return (
    <div className="hosts-tiles">
      <Stat label="CPU" value={known(figures.cpu_cores, short)} note="cores" />
      <Stat label="Memory" value={known(figures.memory_used_bytes, bytes)} note={`${known(figures.memory_utilization, percent)} of ${known(figures.memory_limit_bytes, bytes)}`} />
      <Stat label="Network" value={known(figures.received_bytes_per_second, perSecond)} note={`in; ${known(figures.sent_bytes_per_second, perSecond)} out`} />
      <Stat label="Block I/O" value={known(figures.read_bytes_per_second, perSecond)} note={`read; ${known(figures.written_bytes_per_second, perSecond)} written`} />
      <Stat label="Restarts" value={known(figures.restarts, count)} />
      <Stat label="Uptime" value={known(figures.uptime_seconds, (seconds) => duration(seconds * 1e9))} />
    </div>
  )
}
