import { Link } from '@tanstack/react-router'
import { Box, CircleAlert, CircleCheck, Container, HeartPulse, Server, TriangleAlert } from 'lucide-react'
import { useMemo } from 'react'
import type { SchemaComponentHealth, SchemaContainer, SchemaHost, SchemaService } from '@/api/client'
import { Panel } from '@/components/Panel'
import { problems, type Problem } from './problems'

interface Props {
  services: readonly SchemaService[]
  hosts: readonly SchemaHost[]
  containers: readonly SchemaContainer[]
  components: readonly SchemaComponentHealth[]
}

const MOST = 8
const ICONS = { service: Box, host: Server, container: Container, component: HeartPulse }

/** What is not well, each with the way to it; or that all is well. */
export function Problems(findings: Props) {
  const { services, hosts, containers, components } = findings
  const found = useMemo(() => problems({ services, hosts, containers, components }), [services, hosts, containers, components])
  return (
    <Panel title={found.length ? `${found.length} ${found.length === 1 ? 'problem' : 'problems'}` : 'Is everything well?'} className="overview-problems">
      {found.length === 0 ? (
        <p className="row overview-well">
          <CircleCheck size={18} aria-hidden /> Everything that reports is well.
        </p>
      ) : (
        <ul aria-label="Problems">
          {found.slice(0, MOST).map((one) => (
            <Item key={`${one.kind} ${one.name} ${one.text}`} problem={one} />
          ))}
          {found.length > MOST ? <li className="faint small">and {found.length - MOST} more below</li> : null}
        </ul>
      )}
    </Panel>
  )
}

function Item({ problem }: { problem: Problem }) {
  const Sign = problem.severity === 'bad' ? CircleAlert : TriangleAlert
  const Icon = ICONS[problem.kind]
  return (
    <li className={`row ${problem.severity}`}>
      <Sign size={15} role="img" aria-label={problem.severity === 'bad' ? 'bad' : 'warning'} className="overview-sign" />
      <Icon size={14} role="img" aria-label={problem.kind} className="faint overview-sign" />
      <Target problem={problem} />
      <span className="quiet ellipsis" title={problem.text}>{problem.text}</span>
    </li>
  )
}

function Target({ problem: { kind, name, host } }: { problem: Problem }) {
  if (kind === 'service') return <Link to="/services/$name" params={{ name }}>{name}</Link>
  if (kind === 'host') return <Link to="/hosts/$name" params={{ name }}>{name}</Link>
  if (kind === 'container') return <Link to="/containers/$name" params={{ name }} search={{ host: host || undefined } as never}>{name}</Link>
  return <Link to="/agent">{name}</Link>
}
