import { Fragment } from 'react'
import { CircleAlert, CircleCheck, TriangleAlert } from 'lucide-react'
import type { SchemaPipelineStage, SchemaPipelineStatus, SchemaPipelineFlow } from '@/api/client'
import { count, rate, short } from '@/lib/format'
import { toneOf } from './status'

/** A pipeline from left to right: what comes in, what is done to it, where it goes, and how much passes in between. */
export function PipelineFlow({ pipeline }: { pipeline: SchemaPipelineStatus }) {
  const [first, ...between] = pipeline.arrows
  return (
    <section className="agent-pipeline" aria-label={`Pipeline ${pipeline.id}`} tabIndex={0}>
      <h3>{pipeline.id}</h3>
      <div className="agent-flow">
        <Stage nodes={pipeline.receivers} items={pipeline.items} />
        {pipeline.processors.map((processor, index) => (
          <Fragment key={`${processor.id} ${index}`}>
            <Arrow flow={index === 0 ? first : between[index - 1]} items={pipeline.items} />
            <Stage nodes={[processor]} items={pipeline.items} />
          </Fragment>
        ))}
        <Arrow flow={pipeline.arrows.at(-1)} items={pipeline.items} />
        <Stage nodes={pipeline.exporters} items={pipeline.items} />
      </div>
    </section>
  )
}

function Stage({ nodes, items }: { nodes: readonly SchemaPipelineStage[]; items: string }) {
  return (
    <ul className="agent-stage">
      {nodes.map((node) => (
        <li key={`${node.kind} ${node.id}`} className={`agent-node ${toneOf(node.status)}`} title={node.reason || node.status}>
          <div className="row">
            <Sign status={node.status} />
            <b className="ellipsis">{node.id}</b>
          </div>
          <div className="small quiet">{node.flow ? `${rate(node.flow.per_second)}, ${count(node.flow.total)} ${items}` : node.kind}</div>
          {node.flow?.failed ? <div className="small agent-failed">{count(node.flow.failed)} failed</div> : null}
          {node.reason ? <div className="small agent-failed">{node.reason}</div> : null}
        </li>
      ))}
    </ul>
  )
}

function Sign({ status }: { status: string }) {
  const tone = toneOf(status)
  const Icon = tone === 'ok' ? CircleCheck : tone === 'bad' ? CircleAlert : TriangleAlert
  return <Icon size={14} role="img" aria-label={status} className={`agent-sign ${tone}`} />
}

function Arrow({ flow, items }: { flow: SchemaPipelineFlow | undefined; items: string }) {
  const moving = Boolean(flow && flow.per_second > 0)
  return (
    <div className={`agent-arrow ${moving ? 'moving' : ''}`}>
      <span className="small" title={flow ? `${count(flow.total)} ${items} in all` : undefined}>
        {flow ? `${short(flow.per_second)}/s` : ''}
      </span>
      <span className="agent-line" aria-hidden />
    </div>
  )
}
