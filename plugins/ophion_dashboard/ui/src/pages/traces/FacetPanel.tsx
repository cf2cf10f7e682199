import { SlidersHorizontal } from 'lucide-react'
import { useState } from 'react'
import type { SchemaTraceFacets } from '@/api/client'
import { FacetGroup, type FacetValue } from '@/components/Facets'
import { Toggle } from '@/components/Button'
import { SearchField } from '@/components/Field'
import { DurationFields } from './DurationFields'
import { without } from './filters'
import type { TracesSearch } from './search'

interface Props {
  facets: SchemaTraceFacets | undefined
  search: TracesSearch
  change: (next: Partial<TracesSearch>) => void
}

type Name = 'service' | 'operation' | 'status' | 'kind'

const TITLES: readonly (readonly [Name, string])[] = [
  ['status', 'Status'],
  ['service', 'Service'],
  ['operation', 'Operation'],
  ['kind', 'Kind'],
]
const SHORT = 8

/** What traces can be narrowed by; on narrow screens folded away. */
export function FacetPanel({ facets, search, change }: Props) {
  const [open, setOpen] = useState(false)
  const setLogs = (text: string) => change({ log_text: text.trim() || undefined })
  return (
    <div className="traces-side">
      <span className="traces-fold">
        <Toggle label="Filters" on={open} set={setOpen}>
          <SlidersHorizontal size={14} aria-hidden /> Filters
        </Toggle>
      </span>
      <div className={`traces-facets column ${open ? 'open' : ''}`} role="group" aria-label="Filters">
        <label className="row small">
          <input type="checkbox" checked={Boolean(search.root)} onChange={(event) => change({ root: event.target.checked || undefined })} /> Root spans only
        </label>
        <DurationFields least={search.min_duration} most={search.max_duration} set={change} />
        <div className="field">
          <span className="label">Text in its logs</span>
          <SearchField label="Text in the logs of the trace" placeholder="timeout" value={search.log_text ?? ''} set={setLogs} />
        </div>
        {TITLES.map(([name, title]) => (
          <Facet
            key={name}
            title={title}
            values={facets?.[name] ?? []}
            chosen={search[name] ?? []}
            set={(values) => change({ [name]: values, ...(name === 'service' ? { operation: undefined } : {}) })}
          />
        ))}
      </div>
    </div>
  )
}

interface FacetProps {
  title: string
  values: SchemaTraceFacets['service']
  chosen: readonly string[]
  set: (values: string[] | undefined) => void
}

function Facet({ title, values, chosen, set }: FacetProps) {
  const [all, setAll] = useState(false)
  const known: FacetValue[] = values.map((one) => ({ value: one.value, count: one.spans, name: one.value || '(none)' }))
  for (const value of chosen) if (!known.some((one) => one.value === value)) known.unshift({ value, count: 0 })
  const shown = all ? known : known.filter((one, at) => at < SHORT || chosen.includes(one.value))
  const toggle = (value: string) => set(chosen.includes(value) ? without(chosen, value) : [...chosen, value])
  if (!known.length) return null
  return (
    <div>
      <FacetGroup title={title} values={shown} selected={chosen} toggle={toggle} />
      {known.length > SHORT ? (
        <button type="button" className="traces-more" onClick={() => setAll(!all)}>
          {all ? 'Fewer' : `${known.length - SHORT} more`}
        </button>
      ) : null}
    </div>
  )
}
