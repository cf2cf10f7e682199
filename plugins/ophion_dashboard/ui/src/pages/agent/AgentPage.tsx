import { useQuery } from '@tanstack/react-query'
import { answer, api, type SchemaAgentStatus } from '@/api/client'
import { Badge } from '@/components/Badge'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { Stat } from '@/components/Stat'
import { bytes, duration, percent, rate } from '@/lib/format'
import { useSession } from '@/shell/session'
import { Components } from './Components'
import { PipelineFlow } from './PipelineFlow'
import { Queues } from './Queues'
import './agent.css'

const EVERY_MS = 2000

/** How Ophion itself is: its pipelines with live rates, its queues and components. */
export default function AgentPage() {
  const { me, may } = useSession()
  const isAllowed = may('operate') && me.tenant === 'default'
  const query = useQuery({
    queryKey: ['agent', 'status'],
    enabled: isAllowed,
    queryFn: ({ signal }) => answer(api.GET('/api/agent/status', { signal })),
    refetchInterval: EVERY_MS,
    staleTime: 0,
  })
  const status = query.data
  if (!isAllowed) {
    return (
      <Page title="Ophion itself">
        <Empty title="For operators">Operators of the tenant default see the pipelines, queues and components of the server here.</Empty>
      </Page>
    )
  }
  return (
    <Page title="Ophion itself" beside={status ? <Badge tone={status.ready ? 'ok' : 'bad'}>{status.ready ? 'ready' : 'not ready'}</Badge> : null}>
      <Loaded query={query} height={480}>
        {(found) => <Status status={found} />}
      </Loaded>
    </Page>
  )
}

function Status({ status }: { status: SchemaAgentStatus }) {
  return (
    <>
      {status.reasons.map((reason) => (
        <div key={reason} className="notice bad" role="alert">
          {reason}
        </div>
      ))}
      <Panel>
        <div className="grid" style={{ '--least': '130px' } as React.CSSProperties}>
          <Stat label="Received" value={rate(status.received_per_second)} note="spans, points and records" />
          <Stat label="Sent" value={rate(status.sent_per_second)} />
          <Stat label="CPU" value={percent(status.process.cpu)} note="of one core" />
          <Stat label="Memory" value={bytes(status.process.memory_bytes)} />
          <Stat label="Up for" value={duration(status.uptime_seconds * 1e9)} note={`since ${status.started.slice(0, 19).replace('T', ' ')} UTC`} />
          <Stat label="Version" value={status.version} note={`${status.process.host}, process ${status.process.pid}`} />
        </div>
      </Panel>
      <Panel title="Pipelines">
        <div className="column">
          {status.pipelines.map((pipeline) => (
            <PipelineFlow key={pipeline.id} pipeline={pipeline} />
          ))}
        </div>
      </Panel>
      <Queues queues={status.queues} />
      <Components components={status.components} />
    </>
  )
}
