import { X } from 'lucide-react'
import { Button } from '@/components/Button'
import type { SetSearch } from './LogsPage'
import type { LogsSearch } from './search'

/** The filters that stand in no field of the page, each with a way to take it off. */
export function Chips({ search, set }: { search: LogsSearch; set: SetSearch }) {
  const chips: (readonly [string, Partial<LogsSearch>])[] = [
    ...(search.service ?? []).map((name) => [`service: ${name}`, { service: search.service?.filter((one) => one !== name) }] as const),
    ...(search.trace ? [[`trace: ${search.trace}`, { trace: undefined }] as const] : []),
    ...(search.span ? [[`span: ${search.span}`, { span: undefined }] as const] : []),
  ]
  if (chips.length === 0) return null
  return (
    <ul className="row wrap" aria-label="Filters">
      {chips.map(([name, change]) => (
        <li key={name}>
          <Button aria-label={`Remove the filter ${name}`} onPress={() => set(change)}>
            <span className="ellipsis">{name}</span> <X size={13} aria-hidden />
          </Button>
        </li>
      ))}
    </ul>
  )
}
