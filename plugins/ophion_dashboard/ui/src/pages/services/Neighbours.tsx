import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { SchemaServiceEdge, SchemaServiceNode, SchemaServiceMap } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { rate } from '@/lib/format'
import { ErrorShare, ms } from './columns'
import { useMap } from './data'
import { KindIcon } from './KindIcon'

/** Who calls a service, and what it calls. */
export function Neighbours({ name }: { name: string }) {
  const map = useMap(name, true)
  return (
    <div className="grid" style={{ '--least': '460px' } as React.CSSProperties}>
      <Panel title="Called by" flush>
        <Loaded query={map} height={110} isEmpty={(all) => !all.edges.some((edge) => edge.callee === name)} empty={<Empty title="Nobody">No other service’s span is the parent of one of its spans.</Empty>}>
          {(all) => <Calls label="Called by" side="caller" edges={all.edges.filter((edge) => edge.callee === name)} map={all} />}
        </Loaded>
      </Panel>
      <Panel title="Calls" flush>
        <Loaded query={map} height={110} isEmpty={(all) => !all.edges.some((edge) => edge.caller === name)} empty={<Empty title="Nothing">It calls no other service, database or queue.</Empty>}>
          {(all) => <Calls label="Calls" side="callee" edges={all.edges.filter((edge) => edge.caller === name)} map={all} />}
        </Loaded>
      </Panel>
    </div>
  )
}

interface CallsProps {
  label: string
  side: 'caller' | 'callee'
  edges: readonly SchemaServiceEdge[]
  map: SchemaServiceMap
}

function Calls({ label, side, edges, map }: CallsProps) {
  const columns = useMemo<Column<SchemaServiceEdge>[]>(() => {
    const nodes = new Map(map.nodes.map((node) => [node.name, node]))
    return [
      { id: 'name', header: 'Name', sort: (edge) => edge[side], cell: (edge) => <PeerName name={edge[side]} node={nodes.get(edge[side])} /> },
      { id: 'rate', header: 'Rate', number: true, sort: (edge) => edge.rate, cell: (edge) => rate(edge.rate) },
      { id: 'errors', header: 'Errors', number: true, sort: (edge) => edge.error_rate, cell: (edge) => <ErrorShare red={edge} /> },
      { id: 'p50', header: 'p50', number: true, sort: (edge) => edge.p50_ms, cell: (edge) => ms(edge.p50_ms) },
      { id: 'p95', header: 'p95', number: true, sort: (edge) => edge.p95_ms, cell: (edge) => ms(edge.p95_ms) },
    ]
  }, [map, side])
  return <DataTable label={label} columns={columns} rows={edges} rowKey={(edge) => edge[side]} initialSort={{ id: 'rate', down: true }} />
}

/** A service as a link, anything else by its name. */
export function PeerName({ name, node }: { name: string; node: Pick<SchemaServiceNode, 'kind'> | undefined }) {
  const kind = node?.kind ?? 'service'
  return (
    <span className="row">
      <KindIcon kind={kind} />
      {kind === 'service' ? (
        <Link to="/services/$name" params={{ name }}>
          {name}
        </Link>
      ) : (
        name
      )}
    </span>
  )
}
