import type { SchemaInstance, SchemaServiceView } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty } from '@/components/States'
import { count } from '@/lib/format'
import { ContainerLink, HostLink } from '../hosts/Names'

const or = (text: string) => text || <span className="faint">-</span>

const COLUMNS: Column<SchemaInstance>[] = [
  { id: 'host', header: 'Host', sort: (one) => one.host, cell: (one) => <HostLink name={one.host} /> },
  { id: 'container', header: 'Container', sort: (one) => one.container, cell: (one) => (one.container ? <ContainerLink name={one.container} /> : or('')) },
  { id: 'version', header: 'Version', sort: (one) => one.version, cell: (one) => or(one.version) },
  { id: 'environment', header: 'Environment', sort: (one) => one.environment, cell: (one) => or(one.environment) },
  { id: 'processes', header: 'Resources', number: true, sort: (one) => one.processes, cell: (one) => count(one.processes) },
]

/** The hosts and containers that a service runs on. */
export function RunsOn({ service }: { service: SchemaServiceView }) {
  return (
    <Panel title="Runs on" flush>
      {service.instances.length === 0 ? (
        <Empty title="Unknown">Its resource names neither a host nor a container.</Empty>
      ) : (
        <DataTable label="Runs on" columns={COLUMNS} rows={service.instances} rowKey={(one) => Object.values(one).join(' ')} initialSort={{ id: 'host', down: false }} maxHeight={320} />
      )}
    </Panel>
  )
}
