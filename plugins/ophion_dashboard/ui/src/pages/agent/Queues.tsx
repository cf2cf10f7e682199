import type { SchemaQueueInfo } from '@/api/client'
import { Badge } from '@/components/Badge'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty } from '@/components/States'
import { Meter } from '@/components/Stat'
import { bytes, count, percent } from '@/lib/format'

function size(queue: SchemaQueueInfo, value: number): string {
  return queue.sizer === 'bytes' ? bytes(value) : `${count(value)} ${queue.sizer}`
}

const COLUMNS: Column<SchemaQueueInfo>[] = [
  { id: 'exporter', header: 'Exporter', cell: (queue) => queue.exporter, sort: (queue) => queue.exporter },
  {
    id: 'fill',
    header: 'Filled',
    width: 220,
    sort: (queue) => queue.size / queue.capacity,
    cell: (queue) => (
      <>
        <div className="small">
          {percent(queue.size / queue.capacity)} <span className="faint">of {size(queue, queue.capacity)}</span>
        </div>
        <Meter label={`Queue of ${queue.exporter}`} fraction={queue.size / queue.capacity} />
      </>
    ),
  },
  { id: 'size', header: 'Waiting', number: true, cell: (queue) => size(queue, queue.size), sort: (queue) => queue.size },
  { id: 'flight', header: 'Being sent', number: true, cell: (queue) => count(queue.in_flight) },
  { id: 'durable', header: 'Kept on', cell: (queue) => (queue.durable ? <Badge tone="ok">disk</Badge> : <Badge>memory</Badge>) },
  {
    id: 'refused',
    header: 'Refused for good',
    number: true,
    cell: (queue) => (queue.dead_letters ? <Badge tone="bad">{count(queue.dead_letters)}</Badge> : '0'),
  },
  { id: 'error', header: 'Last error', cell: (queue) => <span title={queue.last_error}>{queue.last_error || 'none'}</span> },
]

export function Queues({ queues }: { queues: readonly SchemaQueueInfo[] }) {
  return (
    <Panel title="Queues" flush>
      {queues.length ? <DataTable label="Queues" columns={COLUMNS} rows={queues} rowKey={(queue) => queue.exporter} /> : <Empty title="No exporter has a queue" />}
    </Panel>
  )
}
