import { Boxes, Container, Server } from 'lucide-react'
import type { ReactNode } from 'react'
import { CopyButton } from '@/components/Copy'
import { Panel } from '@/components/Panel'

/** What to do with a new installation: the three ways to bring telemetry in, with the addresses to use. */
export function Welcome() {
  const host = location.hostname
  return (
    <>
      <p className="quiet">Nothing has come in in this time range. Begin with one of these; figures appear here by themselves within seconds.</p>
      <div className="grid">
        <Way title="Send from an application" icon={<Boxes size={18} aria-hidden />} command={`export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4317\nexport OTEL_SERVICE_NAME=my-service`}>
          Point any OpenTelemetry SDK or collector at <code>{host}:4317</code> (OTLP over gRPC) or <code>http://{host}:4318</code> (OTLP over HTTP). Other hosts need an ingest key: Administration, Keys.
        </Way>
        <Way title="Instrument a container" icon={<Container size={18} aria-hidden />} command="./instrument.sh my-container">
          Its application is traced without a change to its image. <code>./instrument.sh --list</code> says which containers can be.
        </Way>
        <Way title="Watch a host" icon={<Server size={18} aria-hidden />} command="ophion-agent run --config configs/agent.yaml">
          The agent sends CPU, memory, disks and network of its host. Switch the exporter <code>otlp</code> of that file on, with the endpoint <code>{host}:4317</code>.
        </Way>
      </div>
    </>
  )
}

function Way({ title, icon, command, children }: { title: string; icon: ReactNode; command: string; children: ReactNode }) {
  return (
    <Panel title={<span className="row">{icon} {title}</span>} actions={<CopyButton text={command} label={`Copy: ${title}`} />}>
      <div className="column">
        <pre className="code" tabIndex={0} aria-label={`Commands: ${title}`}>{command}</pre>
        <p className="quiet">{children}</p>
      </div>
    </Panel>
  )
}
