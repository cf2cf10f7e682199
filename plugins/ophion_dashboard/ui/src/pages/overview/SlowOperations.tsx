import { Link } from '@tanstack/react-router'
import type { SchemaSlowOperation } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty } from '@/components/States'
import { rate } from '@/lib/format'
import { ErrorShare, ms } from '../services/columns'

const COLUMNS: Column<SchemaSlowOperation>[] = [
  { id: 'service', header: 'Service', sort: (one) => one.service, cell: (one) => <Link to="/services/$name" params={{ name: one.service }}>{one.service}</Link> },
  {
    id: 'name', header: 'Operation', sort: (one) => one.name,
    cell: (one) => <Link to="/traces" search={{ service: one.service, operation: one.name, sort: 'longest' } as never}>{one.name}</Link>,
  },
  { id: 'rate', header: 'Rate', number: true, sort: (one) => one.rate, cell: (one) => rate(one.rate) },
  { id: 'errors', header: 'Errors', number: true, sort: (one) => one.error_rate, cell: (one) => <ErrorShare red={one} /> },
  { id: 'p95', header: 'p95', number: true, sort: (one) => one.p95_ms, cell: (one) => ms(one.p95_ms) },
  { id: 'max', header: 'Longest', number: true, sort: (one) => one.max_ms, cell: (one) => ms(one.max_ms) },
]

export function SlowOperations({ operations }: { operations: readonly SchemaSlowOperation[] }) {
  return (
    <Panel title="Slowest operations" flush>
      {operations.length === 0 ? (
        <Empty title="No operations">No spans have come in in this time range.</Empty>
      ) : (
        <DataTable label="Slowest operations" columns={COLUMNS} rows={operations} rowKey={(one) => `${one.service} ${one.kind} ${one.name}`} initialSort={{ id: 'p95', down: true }} maxHeight={320} />
      )}
    </Panel>
  )
}
