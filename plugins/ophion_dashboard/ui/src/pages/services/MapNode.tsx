import { Handle, Position, type NodeProps, type Node } from '@xyflow/react'
import { Link } from '@tanstack/react-router'
import { CircleAlert, CircleCheck, CircleDashed, TriangleAlert } from 'lucide-react'
import type { SchemaServiceNode } from '@/api/client'
import { percent, rate } from '@/lib/format'
import { ms } from './columns'
import { healthOf, healthText, type Health } from './health'
import { KindIcon } from './KindIcon'

export interface MapNodeData extends Record<string, unknown> {
  node: SchemaServiceNode
  dimmed: boolean
  middle: boolean
  /** Callers stand above, not on the left. */
  tall: boolean
}

const SIGNS = { ok: CircleCheck, warn: TriangleAlert, bad: CircleAlert, idle: CircleDashed } satisfies Record<Health, unknown>

/** A service, or what services call, with its figures; its sign and its frame tell how it is. */
export function MapNode({ data }: NodeProps<Node<MapNodeData, 'service'>>) {
  const { node, dimmed, middle, tall } = data
  const health = healthOf(node)
  const Sign = SIGNS[health]
  return (
    <div className={`map-node ${node.kind} ${health}`} data-dimmed={dimmed || undefined} data-middle={middle || undefined}>
      <Handle type="target" position={tall ? Position.Top : Position.Left} isConnectable={false} />
      <div className="row">
        <KindIcon kind={node.kind} />
        <Name node={node} />
        <Sign size={14} role="img" aria-label={healthText(node)} className="map-sign" />
      </div>
      <div className="row spread map-figures">
        <span>{rate(node.rate)}</span>
        <span className={node.error_rate >= 0.01 ? 'map-errors' : ''}>{percent(node.error_rate)}</span>
        <span>{ms(node.p95_ms)}</span>
      </div>
      <Handle type="source" position={tall ? Position.Bottom : Position.Right} isConnectable={false} />
    </div>
  )
}

function Name({ node }: { node: SchemaServiceNode }) {
  const title = `${node.name}: ${rate(node.rate)}, ${percent(node.error_rate)} errors, 95th percentile ${ms(node.p95_ms)}`
  return node.kind === 'service' ? (
    <Link to="/services/$name" params={{ name: node.name }} className="grow ellipsis map-name nodrag" title={title}>
      {node.name}
    </Link>
  ) : (
    <span className="grow ellipsis map-name" title={title}>
      {node.name}
    </span>
  )
}
