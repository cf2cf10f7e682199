import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { Network, ScrollText, Waypoints } from 'lucide-react'
import { useMemo } from 'react'
import type { SchemaOperation, SchemaServiceView } from '@/api/client'
import { Badge, Dot } from '@/components/Badge'
import { DataTable, type Column } from '@/components/DataTable'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Stat } from '@/components/Stat'
import { Empty, Loaded } from '@/components/States'
import { count, percent, rate } from '@/lib/format'
import { nameColor } from '@/lib/colors'
import { useTheme } from '@/shell/theme'
import { isMissing } from '../hosts/data'
import { ms, redColumns } from './columns'
import { useOperations, useService } from './data'
import { healthOf, healthText, TONES } from './health'
import { Neighbours } from './Neighbours'
import { RedCharts } from './RedCharts'
import { ErrorLogs, FrequentErrors, TraceList } from './Recent'
import { RunsOn } from './RunsOn'
import './services.css'

export default function ServicePage() {
  const { name } = useParams({ from: '/services/$name' })
  const { dark } = useTheme()
  const service = useService(name)
  return (
    <Page
      title={name}
      crumbs={<Link to="/services">Services</Link>}
      beside={
        <>
          <Dot color={nameColor(name, dark)} />
          {service.data ? <Badge tone={TONES[healthOf(service.data)]}>{healthText(service.data)}</Badge> : null}
        </>
      }
      actions={<Links name={name} />}
    >
      {isMissing(service.error) ? (
        <Empty title={`${name} has sent nothing in this time range`}>
          Choose a longer time range, or look at the <Link to="/services">list of services</Link>.
        </Empty>
      ) : (
        <>
          <Loaded query={service} height={320}>
            {(found) => <Figures service={found} />}
          </Loaded>
          <Operations name={name} />
          <Neighbours name={name} />
          <Loaded query={service} height={160}>
            {(found) => <FrequentErrors errors={found.top_errors} />}
          </Loaded>
          <div className="grid" style={{ '--least': '460px' } as React.CSSProperties}>
            <TraceList title="Slow traces" service={name} more={{ sort: 'longest' }} />
            <TraceList title="Failed traces" service={name} more={{ status: 'error' }} />
          </div>
          <ErrorLogs service={name} />
          <Loaded query={service} height={120}>
            {(found) => <RunsOn service={found} />}
          </Loaded>
        </>
      )}
    </Page>
  )
}

function Links({ name }: { name: string }) {
  return (
    <>
      <Link to="/traces" search={{ service: name } as never} className="button">
        <Waypoints size={14} aria-hidden /> Traces
      </Link>
      <Link to="/logs" search={{ service: [name] } as never} className="button">
        <ScrollText size={14} aria-hidden /> Logs
      </Link>
      <Link to="/map" search={{ service: name } as never} className="button">
        <Network size={14} aria-hidden /> Map
      </Link>
    </>
  )
}

function Figures({ service }: { service: SchemaServiceView }) {
  return (
    <>
      <Panel>
        <div className="services-tiles">
          <Stat label="Rate" value={rate(service.rate)} note={`${count(service.spans)} requests`} />
          <Stat label="Errors" value={percent(service.error_rate)} note={`${count(service.errors)} failed`} />
          <Stat label="p50" value={ms(service.p50_ms)} note="half are faster" />
          <Stat label="p95" value={ms(service.p95_ms)} />
          <Stat label="p99" value={ms(service.p99_ms)} />
          <Stat label="Longest" value={ms(service.max_ms)} />
        </div>
      </Panel>
      <RedCharts service={service} />
    </>
  )
}

function Operations({ name }: { name: string }) {
  const operations = useOperations(name)
  const navigate = useNavigate()
  const columns = useMemo<Column<SchemaOperation>[]>(
    () => [
      {
        id: 'name', header: 'Operation', sort: (one) => one.name,
        cell: (one) => <Link to="/traces" search={{ service: name, operation: one.name } as never}>{one.name}</Link>,
      },
      { id: 'kind', header: 'Kind', sort: (one) => one.kind, cell: (one) => <span className="faint">{one.kind}</span> },
      { id: 'spans', header: 'Spans', number: true, sort: (one) => one.spans, cell: (one) => count(one.spans) },
      ...redColumns<SchemaOperation>(),
    ],
    [name],
  )
  return (
    <Panel title="Operations" flush>
      <Loaded query={operations} height={160} isEmpty={(all) => all.operations.length === 0} empty={<Empty title="No operations">This service has sent no spans in this time range.</Empty>}>
        {(all) => (
          <DataTable
            label="Operations"
            columns={columns}
            rows={all.operations}
            rowKey={(one) => `${one.kind} ${one.name}`}
            initialSort={{ id: 'spans', down: true }}
            maxHeight={380}
            open={(one) => void navigate({ to: '/traces', search: { service: name, operation: one.name } as never })}
          />
        )}
      </Loaded>
    </Panel>
  )
}
