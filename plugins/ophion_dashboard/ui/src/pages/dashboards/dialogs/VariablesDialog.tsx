import { Plus, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { Button, IconButton } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { VARIABLE_KINDS, type Variable, type VariableKind } from '../model/types'
import { readLabelValues } from '../model/variables'
import type { Draft } from '../useDraft'

const KINDS: Record<VariableKind, string> = { query: 'values of a label', custom: 'a list', interval: 'durations', text: 'free text' }
const STARTS: Record<VariableKind, Partial<Variable>> = {
  query: { query: 'label_values(host_name)', values: [] },
  custom: { query: '', values: ['a', 'b'] },
  interval: { query: '', values: ['1m', '5m', '1h'], multi: false, include_all: false },
  text: { query: '', values: [], multi: false, include_all: false },
}

/** The variables of a dashboard. */
export default function VariablesDialog({ close, draft }: { close: () => void; draft: Draft }) {
  const [all, setAll] = useState<Variable[]>(draft.model.variables)
  const problem = all.map((one, index) => problemOf(one, all.slice(0, index))).find(Boolean)
  const change = (at: number, next: Variable | null) => setAll(all.flatMap((one, index) => (index === at ? (next ? [next] : []) : [one])))
  const add = () => setAll([...all, { name: freeName(all), label: '', kind: 'query', multi: false, include_all: false, default: [], ...STARTS.query } as Variable])
  return (
    <Dialog title="Variables" open close={close} width={760}>
      <p className="quiet small">
        Expressions, titles and links name a variable as <code>$name</code>. One with several values is a regular expression: <code>{'host_name=~"$name"'}</code>.
      </p>
      {all.map((variable, index) => (
        <VariableFields key={index} variable={variable} set={(next) => change(index, next)} />
      ))}
      <div className="row">
        <Button onPress={add}>
          <Plus size={14} aria-hidden /> Add variable
        </Button>
      </div>
      {problem ? <div className="promql-mistake" role="alert">{problem}</div> : null}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onPress={close}>Cancel</Button>
        <Button
          kind="primary"
          isDisabled={Boolean(problem)}
          onPress={() => {
            draft.change({ variables: all, panels: draft.model.panels.map((panel) => (all.some((one) => one.name === panel.repeat) ? panel : { ...panel, repeat: null })) })
            close()
          }}
        >
          Use these
        </Button>
      </div>
    </Dialog>
  )
}

function freeName(all: readonly Variable[]): string {
  const names = new Set(all.map((one) => one.name))
  return ['host', 'service', ...Array.from({ length: 40 }, (_, index) => `variable${index + 1}`)].find((name) => !names.has(name)) ?? 'variable'
}

function problemOf(variable: Variable, before: readonly Variable[]): string {
  const { name, kind, query, values } = variable
  if (!/^[A-Za-z_]\w{0,39}$/.test(name)) return `“${name}” is no name: use letters, digits and _.`
  if (before.some((one) => one.name === name)) return `Two variables are called ${name}.`
  if (kind === 'query' && !readLabelValues(query)) return `${name}: write label_values(label) or label_values(selector, label).`
  return (kind === 'custom' || kind === 'interval') && values.length === 0 ? `${name}: list at least one value.` : ''
}

function VariableFields({ variable, set }: { variable: Variable; set: (variable: Variable | null) => void }) {
  const { kind } = variable
  const canBeMany = kind === 'query' || kind === 'custom'
  const [list, setList] = useState(variable.values.join(', '))
  return (
    <fieldset className="facets column">
      <legend>{variable.name}</legend>
      <div className="dash-line" style={{ gridTemplateColumns: '1fr 1fr 1fr auto' }}>
        <TextField label="Name" value={variable.name} onChange={(event) => set({ ...variable, name: event.target.value.trim() })} />
        <TextField label="Label" value={variable.label} onChange={(event) => set({ ...variable, label: event.target.value })} />
        <SelectField
          label="Kind"
          value={kind}
          choices={VARIABLE_KINDS.map((one) => [one, KINDS[one]] as const)}
          set={(next) => {
            setList((STARTS[next as VariableKind].values ?? []).join(', '))
            set({ ...variable, ...STARTS[next as VariableKind], kind: next as VariableKind, default: [] })
          }}
        />
        <IconButton label={`Remove variable ${variable.name}`} onPress={() => set(null)}>
          <Trash2 size={14} aria-hidden />
        </IconButton>
      </div>
      {kind === 'query' ? (
        <TextField label="Query" hint="label_values(label), or label_values(selector, label)" value={variable.query} onChange={(event) => set({ ...variable, query: event.target.value })} />
      ) : null}
      {kind === 'custom' || kind === 'interval' ? (
        <TextField
          label="Values"
          hint="with commas between them"
          value={list}
          onChange={(event) => {
            setList(event.target.value)
            set({ ...variable, values: event.target.value.split(',').map((one) => one.trim()).filter(Boolean), default: [] })
          }}
        />
      ) : null}
      {canBeMany ? (
        <div className="row">
          <label className="row">
            <input type="checkbox" checked={variable.multi} onChange={(event) => set({ ...variable, multi: event.target.checked, include_all: event.target.checked && variable.include_all })} />
            Several at once
          </label>
          <label className="row">
            <input type="checkbox" checked={variable.include_all} disabled={!variable.multi} onChange={(event) => set({ ...variable, include_all: event.target.checked })} />
            All at once
          </label>
        </div>
      ) : null}
    </fieldset>
  )
}
