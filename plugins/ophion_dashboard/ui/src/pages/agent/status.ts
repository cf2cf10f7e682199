import { text } from '@/api/client'
import type { Tone } from '@/components/Badge'

/** Items that passed, of a component or between two of them. */
export interface Flow {
  per_second: number
  total: number
  failed: number
}

export interface Node {
  kind: string
  id: string
  status: string
  reason: string
  flow: Flow | null
}

export interface Pipeline {
  id: string
  signal: string
  items: string
  receivers: Node[]
  processors: Node[]
  exporters: Node[]
  /** Before the first processor, between them, and after the last. */
  arrows: Flow[]
}

export interface Queue {
  exporter: string
  sizer: string
  size: number
  capacity: number
  bytes: number
  in_flight: number
  durable: boolean
  dead_letters: number
  last_error: string
}

export interface Component {
  kind: string
  id: string
  status: string
  reason: string
  since: string
  for_seconds: number
}

export interface AgentStatus {
  version: string
  started: string
  uptime_seconds: number
  ready: boolean
  reasons: string[]
  process: { host: string; pid: number; cpu: number; memory_bytes: number }
  received_per_second: number
  sent_per_second: number
  pipelines: Pipeline[]
  queues: Queue[]
  components: Component[]
}

export async function agentStatus(signal: AbortSignal): Promise<AgentStatus> {
  return JSON.parse(await text('/api/agent/status', { signal })) as AgentStatus
}

const TONES: Record<string, Tone> = { ok: 'ok', starting: 'info', degraded: 'warn', recoverable: 'warn', permanent: 'bad', fatal: 'bad', stopped: 'plain' }

export function toneOf(status: string): Tone {
  return TONES[status] ?? 'plain'
}

/** Return the components, the unwell ones first, each once. */
export function inOrder(components: readonly Component[]): Component[] {
  const once = new Map(components.map((one) => [`${one.kind} ${one.id} ${one.status} ${one.reason}`, one]))
  const weight = (one: Component) => (one.status === 'ok' ? 1 : 0)
  return [...once.values()].sort((left, right) => weight(left) - weight(right) || left.kind.localeCompare(right.kind) || left.id.localeCompare(right.id))
}
