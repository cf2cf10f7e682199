import type { SchemaComponentStatus } from '@/api/client'
import { Badge } from '@/components/Badge'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { duration } from '@/lib/format'
import { inOrder, toneOf } from './status'

const COLUMNS: Column<SchemaComponentStatus>[] = [
  { id: 'id', header: 'Component', cell: (one) => one.id, sort: (one) => one.id },
  { id: 'kind', header: 'Kind', cell: (one) => one.kind, sort: (one) => one.kind },
  { id: 'status', header: 'Status', cell: (one) => <Badge tone={toneOf(one.status)}>{one.status}</Badge>, sort: (one) => one.status },
  { id: 'for', header: 'For', number: true, cell: (one) => duration(one.for_seconds * 1e9), sort: (one) => one.for_seconds },
  { id: 'reason', header: 'Reason', cell: (one) => <span title={one.reason}>{one.reason}</span> },
]

export function Components({ components }: { components: readonly SchemaComponentStatus[] }) {
  return (
    <Panel title="Components" flush>
      <DataTable label="Components" columns={COLUMNS} rows={inOrder(components)} rowKey={(one) => `${one.kind} ${one.id} ${one.status} ${one.reason}`} />
    </Panel>
  )
}
