import type { SchemaComponentStatus } from '@/api/client'
import type { Tone } from '@/components/Badge'

const TONES: Record<string, Tone> = { ok: 'ok', starting: 'info', degraded: 'warn', recoverable: 'warn', permanent: 'bad', fatal: 'bad', stopped: 'plain' }

export function toneOf(status: string): Tone {
  return TONES[status] ?? 'plain'
}

/** Return the components, the unwell ones first, each once. */
export function inOrder(components: readonly SchemaComponentStatus[]): SchemaComponentStatus[] {
  const once = new Map(components.map((one) => [`${one.kind} ${one.id} ${one.status} ${one.reason}`, one]))
  const weight = (one: SchemaComponentStatus) => (one.status === 'ok' ? 1 : 0)
  return [...once.values()].sort((left, right) => weight(left) - weight(right) || left.kind.localeCompare(right.kind) || left.id.localeCompare(right.id))
}
