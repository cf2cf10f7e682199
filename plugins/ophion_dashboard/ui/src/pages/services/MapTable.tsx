import { useMemo } from 'react'
import type { SchemaServiceEdge } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Empty } from '@/components/States'
import { count, rate } from '@/lib/format'
import { ErrorShare, ms } from './columns'
import type { Graph } from './mapModel'
import { PeerName } from './Neighbours'

/** The calls of the map as a table. */
export function MapTable({ graph, find }: { graph: Graph; find: string }) {
  const columns = useMemo<Column<SchemaServiceEdge>[]>(() => {
    const nodes = new Map(graph.nodes.map((node) => [node.name, node]))
    return [
      { id: 'caller', header: 'Caller', sort: (edge) => edge.caller, cell: (edge) => <PeerName name={edge.caller} node={nodes.get(edge.caller)} /> },
      { id: 'callee', header: 'Calls', sort: (edge) => edge.callee, cell: (edge) => <PeerName name={edge.callee} node={nodes.get(edge.callee)} /> },
      { id: 'count', header: 'Count', number: true, sort: (edge) => edge.calls, cell: (edge) => count(edge.calls) },
      { id: 'rate', header: 'Rate', number: true, sort: (edge) => edge.rate, cell: (edge) => rate(edge.rate) },
      { id: 'errors', header: 'Errors', number: true, sort: (edge) => edge.error_rate, cell: (edge) => <ErrorShare red={edge} /> },
      { id: 'p50', header: 'p50', number: true, sort: (edge) => edge.p50_ms, cell: (edge) => ms(edge.p50_ms) },
      { id: 'p95', header: 'p95', number: true, sort: (edge) => edge.p95_ms, cell: (edge) => ms(edge.p95_ms) },
      { id: 'p99', header: 'p99', number: true, sort: (edge) => edge.p99_ms, cell: (edge) => ms(edge.p99_ms) },
    ]
  }, [graph])
  const text = find.toLowerCase()
  const rows = graph.edges.filter((edge) => `${edge.caller}\n${edge.callee}`.toLowerCase().includes(text))
  if (rows.length === 0) return <Empty title="No calls">{find ? `No call has “${find}” in a name.` : 'These services call nothing.'}</Empty>
  return <DataTable label="Calls" columns={columns} rows={rows} rowKey={(edge) => `${edge.caller}\t${edge.callee}`} initialSort={{ id: 'rate', down: true }} />
}
