import { Box, Database, Globe, ListOrdered } from 'lucide-react'
import type { SchemaServiceNode } from '@/api/client'

const ICONS = { service: Box, database: Database, queue: ListOrdered, external: Globe }

/** What a node of the service map is, as a picture with a name. */
export function KindIcon({ kind, size = 14 }: { kind: SchemaServiceNode['kind']; size?: number }) {
  const Icon = ICONS[kind]
  return <Icon size={size} aria-label={kind} role="img" className="services-kind" />
}
