import { FacetGroup } from '@/components/Facets'
import type { Range } from '@/lib/time'
import type { SetSearch } from './LogsPage'
import { term, withTerm } from './query'
import type { LogsSearch } from './search'
import { useValues } from './useLogs'

interface Props {
  range: Range
  search: LogsSearch
  set: SetSearch
}

const ATTRIBUTES = [
  ['host.name', 'Host'],
  ['container.name', 'Container'],
  ['deployment.environment.name', 'Environment'],
] as const

/** What the records of the range come from. */
export function LogFacets({ range, search, set }: Props) {
  return (
    <aside className="logs-facets" aria-label="Filters by source">
      <Services range={range} search={search} set={set} />
      {ATTRIBUTES.map(([key, title]) => (
        <Attribute key={key} name={key} title={title} range={range} search={search} set={set} />
      ))}
    </aside>
  )
}

function Services({ range, search, set }: Props) {
  const { data } = useValues(range, 'service.name')
  const selected = search.service ?? []
  const names = new Set([...selected, ...(data?.values.map((one) => String(one.value)) ?? [])])
  const toggle = (name: string) => set({ service: selected.includes(name) ? selected.filter((one) => one !== name) : [...selected, name], record: undefined })
  return names.size ? <FacetGroup title="Service" values={[...names].sort().map((value) => ({ value }))} selected={selected} toggle={toggle} /> : null
}

function Attribute({ name, title, range, search, set }: Props & { name: string; title: string }) {
  const { data } = useValues(range, name)
  const query = search.q ?? ''
  const values = data?.values.map((one) => String(one.value)) ?? []
  const selected = values.filter((value) => ` ${query} `.includes(` ${term(name, value)} `))
  const toggle = (value: string) => {
    const added = term(name, value)
    const q = selected.includes(value) ? ` ${query} `.replace(` ${added} `, ' ').trim() : withTerm(query, added)
    set({ q: q || undefined, record: undefined })
  }
  return values.length ? <FacetGroup title={title} values={values.map((value) => ({ value }))} selected={selected} toggle={toggle} /> : null
}
