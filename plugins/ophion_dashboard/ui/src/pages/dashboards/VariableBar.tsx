import { ChevronDown } from 'lucide-react'
import { useState } from 'react'
import { Button as AriaButton, Dialog, DialogTrigger, Popover } from 'react-aria-components'
import { SelectField } from '@/components/Choice'
import { FacetGroup } from '@/components/Facets'
import { SearchField, TextField } from '@/components/Field'
import type { Variable } from './model/types'
import { ALL, fillText } from './model/variables'
import type { Variables } from './useVariables'

/** What can be chosen for all panels; the choice stands in the URL. */
export function VariableBar({ variables, state }: { variables: readonly Variable[]; state: Variables }) {
  if (variables.length === 0) return null
  return (
    <div className="dash-variables" role="group" aria-label="Variables">
      {variables.map((variable) => (
        <VariableField key={variable.name} variable={variable} state={state} />
      ))}
    </div>
  )
}

function VariableField({ variable, state }: { variable: Variable; state: Variables }) {
  const label = variable.label || variable.name
  const chosen = state.values.get(variable.name)?.values ?? []
  const offered = state.offered(variable.name) ?? []
  const error = state.error(variable.name)
  if (error) {
    return (
      <div className="dash-variable" title={error.message}>
        <span className="label">{label}</span> <span className="wrong">cannot be listed</span>
      </div>
    )
  }
  if (variable.kind === 'text') return <TextValue key={chosen[0]} label={label} value={chosen[0] ?? ''} set={(value) => state.choose(variable.name, value ? [value] : [])} />
  if (variable.multi) return <MultiValue variable={variable} label={label} chosen={chosen} offered={offered} state={state} />
  const all = offered.includes(chosen[0] ?? '') || !chosen[0] ? offered : [chosen[0], ...offered]
  return (
    <div className="dash-variable">
      <SelectField
        label={label}
        value={chosen[0] ?? ''}
        choices={all.length ? all.map((one) => [one, one] as const) : [['', 'none'] as const]}
        set={(value) => state.choose(variable.name, [value])}
      />
    </div>
  )
}

function TextValue({ label, value, set }: { label: string; value: string; set: (value: string) => void }) {
  const [draft, setDraft] = useState(value)
  return (
    <form
      className="dash-variable"
      onSubmit={(event) => {
        event.preventDefault()
        set(draft)
      }}
    >
      <TextField label={label} value={draft} onChange={(event) => setDraft(event.target.value)} onBlur={() => draft !== value && set(draft)} />
    </form>
  )
}

interface MultiProps {
  variable: Variable
  label: string
  chosen: readonly string[]
  offered: readonly string[]
  state: Variables
}

function MultiValue({ variable, label, chosen, offered, state }: MultiProps) {
  const [search, setSearch] = useState('')
  const isAll = chosen[0] === ALL
  const name = isAll ? 'All' : chosen.length > 2 ? `${chosen.length} chosen` : chosen.join(', ') || 'none'
  const toggle = (value: string) => {
    if (value === ALL) return state.choose(variable.name, isAll ? offered.slice(0, 1) : [ALL])
    const before = isAll ? [] : chosen
    const next = before.includes(value) ? before.filter((one) => one !== value) : [...before, value]
    return state.choose(variable.name, next)
  }
  const found = offered.filter((value) => value.toLowerCase().includes(search.toLowerCase())).slice(0, 200)
  const values = [...(variable.include_all && !search ? [{ value: ALL, name: 'All' }] : []), ...found.map((value) => ({ value }))]
  return (
    <div className="dash-variable">
      <span className="label">{label}</span>
      <DialogTrigger>
        <AriaButton className="button" aria-label={`${label}: ${fillText(name, new Map())}`}>
          <span className="ellipsis">{name}</span>
          <ChevronDown size={13} aria-hidden />
        </AriaButton>
        <Popover className="popover" placement="bottom start">
          <Dialog aria-label={label} className="dash-choices">
            {offered.length > 12 ? <SearchField label={`Search ${label}`} value={search} set={setSearch} /> : null}
            <FacetGroup title={label} values={values} selected={chosen} toggle={toggle} />
          </Dialog>
        </Popover>
      </DialogTrigger>
    </div>
  )
}
