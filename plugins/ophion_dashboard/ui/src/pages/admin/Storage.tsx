import { useQuery } from '@tanstack/react-query'
import { answer, api, type SchemaStoreFigures, type SchemaTableFigures } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Loaded } from '@/components/States'
import { Stat } from '@/components/Stat'
import { bytes, rate, short } from '@/lib/format'
import { useTime } from '@/shell/time'

const COLUMNS: Column<SchemaTableFigures>[] = [
  { id: 'table', header: 'Table', cell: (table) => <code>{table.table}</code>, sort: (table) => table.table },
  { id: 'signal', header: 'Signal', cell: (table) => table.signal, sort: (table) => table.signal },
  { id: 'rows', header: 'Rows', number: true, cell: (table) => short(table.rows), sort: (table) => table.rows },
  { id: 'bytes', header: 'On disk', number: true, cell: (table) => bytes(table.bytes), sort: (table) => table.bytes },
  { id: 'each', header: 'Bytes a row', number: true, cell: (table) => (table.rows ? short(table.bytes / table.rows) : '-'), sort: (table) => table.bytes / table.rows },
  {
    id: 'ratio',
    header: 'Compression',
    number: true,
    cell: (table) => (table.bytes ? `${short(table.uncompressed_bytes / table.bytes)} ×` : '-'),
    sort: (table) => table.uncompressed_bytes / table.bytes,
  },
  { id: 'oldest', header: 'Since', cell: (table) => table.oldest_day ?? '-', sort: (table) => table.oldest_day ?? '' },
]

/** What the tenant's telemetry takes, and what arrives. */
export function Storage() {
  const { range } = useTime()
  const query = useQuery({ queryKey: ['store', range.end], queryFn: () => answer(api.GET('/api/store')) })
  return <Loaded query={query}>{(figures) => <Figures figures={figures} />}</Loaded>
}

function Figures({ figures }: { figures: SchemaStoreFigures }) {
  const { ingest } = figures
  return (
    <div className="column">
      <Panel>
        <div className="grid" style={{ '--least': '130px' } as React.CSSProperties}>
          <Stat label="On disk" value={bytes(figures.bytes)} />
          {(['traces', 'logs', 'metrics'] as const).map((signal) => (
            <Stat key={signal} label={`of it ${signal}`} value={bytes(figures.bytes_by_signal[signal] ?? 0)} />
          ))}
          <Stat label="Spans" value={rate(ingest.spans_per_second)} note="in the last five minutes" />
          <Stat label="Log records" value={rate(ingest.log_records_per_second)} />
          <Stat label="Samples" value={rate(ingest.samples_per_second)} />
        </div>
      </Panel>
      <Panel flush title="Tables">
        <DataTable label="Tables" columns={COLUMNS} rows={figures.tables} rowKey={(table) => table.table} initialSort={{ id: 'bytes', down: true }} />
      </Panel>
    </div>
  )
}
