/** What is not well, worst first: services, hosts, containers, and the server's own components. */
import type { SchemaComponentHealth, SchemaContainer, SchemaHost, SchemaService } from '@/api/client'
import { duration, percent, rate } from '@/lib/format'
import { ERRORS_BAD, ERRORS_WARN, SLOW_MS } from '../services/health'

export interface Problem {
  kind: 'service' | 'host' | 'container' | 'component'
  severity: 'bad' | 'warn'
  /** Whose problem it is, and what the link leads to. */
  name: string
  /** Tells a container from another of its name. */
  host?: string
  text: string
  /** For the order of problems that are equally bad. */
  weight: number
}

interface Findings {
  services: readonly SchemaService[]
  hosts: readonly SchemaHost[]
  containers: readonly SchemaContainer[]
  components: readonly SchemaComponentHealth[]
}

const LIMITS = { cpu: [0.85, 0.95], memory: [0.85, 0.95], disk: [0.85, 0.95], container: [0.85, 0.95] } as const
/** A service is slower than before when its last steps take this many times as long, and at least this long. */
const SLOWER_TIMES = 2
const SLOWER_LEAST_MS = 100

export function problems({ services, hosts, containers, components }: Findings): Problem[] {
  return [...components.flatMap(ofComponent), ...services.flatMap(ofService), ...hosts.flatMap(ofHost), ...containers.flatMap(ofContainer)].sort(
    (left, right) => Number(right.severity === 'bad') - Number(left.severity === 'bad') || right.weight - left.weight || left.name.localeCompare(right.name),
  )
}

function ofComponent({ kind, id, status }: SchemaComponentHealth): Problem[] {
  if (status === 'ok' || status === 'starting') return []
  const severity = status === 'degraded' ? 'warn' : 'bad'
  return [{ kind: 'component', severity, name: `${kind} ${id}`, text: status === 'degraded' ? 'degraded: tries to recover by itself' : `${status}: needs somebody`, weight: 3 }]
}

function ofService(service: SchemaService): Problem[] {
  const found: Problem[] = []
  const { name, error_rate, p95_ms } = service
  if (service.spans > 0 && error_rate >= ERRORS_WARN) {
    const text = `${percent(error_rate)} of its requests fail (${rate(service.errors / Math.max(1, service.spans / Math.max(service.rate, 1e-9)))})`
    found.push({ kind: 'service', severity: error_rate >= ERRORS_BAD ? 'bad' : 'warn', name, text, weight: 2 + error_rate })
  }
  const times = slower(service.trend?.p95_ms ?? [])
  if (p95_ms >= SLOW_MS) found.push({ kind: 'service', severity: 'warn', name, text: `slow: 95th percentile ${duration(p95_ms * 1e6)}`, weight: 2 })
  else if (times >= SLOWER_TIMES) found.push({ kind: 'service', severity: 'warn', name, text: `${times.toFixed(1)} times slower than before in this range`, weight: 1.5 })
  return found
}

/** Return how many times as long the last sixth of a course takes as what was before; 1 where that says nothing. */
export function slower(course: readonly (number | null)[]): number {
  const known = course.filter((value) => value !== null)
  const last = Math.max(2, Math.round(known.length / 6))
  if (known.length < 3 * last) return 1
  const now = median(known.slice(-last))
  const before = median(known.slice(0, -last))
  return now >= SLOWER_LEAST_MS && before > 0 ? now / before : 1
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0
}

function ofHost({ name, figures }: SchemaHost): Problem[] {
  const disk = figures.filesystems[0]
  return [
    ...limit('host', name, 'CPU', figures.cpu_utilization, LIMITS.cpu, 'busy'),
    ...limit('host', name, 'memory', figures.memory_utilization, LIMITS.memory),
    ...limit('host', name, `file system ${disk?.mountpoint ?? ''}`, disk?.utilization, LIMITS.disk),
  ]
}

function ofContainer({ name, host, figures }: SchemaContainer): Problem[] {
  return limit('container', name, 'memory limit', figures.memory_utilization, LIMITS.container).map((one) => ({ ...one, host }))
}

function limit(kind: 'host' | 'container', name: string, what: string, share: number | null | undefined, [warn, bad]: readonly [number, number], how = 'used'): Problem[] {
  if (share === null || share === undefined || share < warn) return []
  return [{ kind, severity: share >= bad ? 'bad' : 'warn', name, text: `${what} ${percent(share)} ${how}`, weight: share }]
}
