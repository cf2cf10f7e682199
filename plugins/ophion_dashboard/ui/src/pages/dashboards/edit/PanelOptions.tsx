import { SelectField } from '@/components/Choice'
import { TextArea, TextField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { asKind, KIND_NAMES, PANEL_KINDS, REDUCTIONS, type PanelKind, type PanelModel, type PanelOptions, type Variable } from '../model/types'
import { LinksForm, ThresholdsForm } from './PanelLists'

interface Props {
  panel: PanelModel
  variables: readonly Variable[]
  apply: (panel: PanelModel) => void
}

const UNITS = [
  ['', 'no unit'],
  ['s', 'seconds'],
  ['ms', 'milliseconds'],
  ['By', 'bytes'],
  ['By/s', 'bytes per second'],
  ['percent', 'percent of 1'],
  ['%', 'percent'],
  ['req/s', 'requests per second'],
  ['/s', 'per second'],
] as const

/** Whether a kind of panel has a use for an option. */
const USES: Record<'scale' | 'time' | 'reduce' | 'limit', readonly PanelKind[]> = {
  scale: ['timeseries', 'gauge', 'bar'],
  time: ['timeseries'],
  reduce: ['stat', 'gauge', 'bar', 'table'],
  limit: ['logs', 'traces', 'table', 'bar'],
}

/** How a panel shows what it got. */
export function PanelOptionsForm({ panel, variables, apply }: Props) {
  const isValues = !['logs', 'traces', 'text'].includes(panel.kind)
  const set = (options: Partial<PanelOptions>) => apply({ ...panel, options: { ...panel.options, ...options } })
  return (
    <div className="dash-options">
      <Panel title="Panel">
        <SelectField label="Kind" value={panel.kind} choices={PANEL_KINDS.map((kind) => [kind, KIND_NAMES[kind]] as const)} set={(kind) => apply(asKind(panel, kind as PanelKind))} />
        <TextField label="Title" maxLength={200} value={panel.title} onChange={(event) => apply({ ...panel, title: event.target.value })} />
        <TextArea label="Description" rows={2} maxLength={2000} value={panel.description} onChange={(event) => apply({ ...panel, description: event.target.value })} />
        <SelectField
          label="Repeat for each value of"
          value={panel.repeat ?? ''}
          choices={[['', 'no variable'] as const, ...variables.map(({ name, label }) => [name, label || name] as const)]}
          set={(repeat) => apply({ ...panel, repeat: repeat || null })}
        />
      </Panel>
      {isValues ? <ValuesForm options={panel.options} kind={panel.kind} set={set} /> : null}
      {USES.time.includes(panel.kind) ? <LinesForm options={panel.options} set={set} /> : null}
      {USES.limit.includes(panel.kind) ? (
        <Panel title="Rows">
          <NumberField label="At most" value={panel.options.limit} set={(limit) => set({ limit: Math.min(1000, Math.max(1, limit ?? 100)) })} />
        </Panel>
      ) : null}
      {isValues ? <ThresholdsForm options={panel.options} set={set} /> : null}
      <LinksForm options={panel.options} set={set} />
    </div>
  )
}

interface FormProps {
  options: PanelOptions
  set: (options: Partial<PanelOptions>) => void
}

function ValuesForm({ options, kind, set }: FormProps & { kind: PanelKind }) {
  const known = UNITS.some(([unit]) => unit === options.unit)
  return (
    <Panel title="Values">
      <div className="dash-pair">
        <SelectField label="Unit" value={options.unit} choices={known ? UNITS : [...UNITS, [options.unit, options.unit] as const]} set={(unit) => set({ unit })} />
        <NumberField label="Decimals" value={options.decimals} set={(decimals) => set({ decimals: decimals === null ? null : Math.min(10, Math.max(0, Math.round(decimals))) })} />
      </div>
      {USES.scale.includes(kind) ? (
        <div className="dash-pair">
          <NumberField label="Lowest" value={options.min} set={(min) => set({ min })} />
          <NumberField label="Highest" value={options.max} set={(max) => set({ max })} />
        </div>
      ) : null}
      {USES.reduce.includes(kind) ? (
        <SelectField label="Of each series" value={options.reduce} choices={REDUCTIONS.map((one) => [one, one] as const)} set={(reduce) => set({ reduce: reduce as PanelOptions['reduce'] })} />
      ) : null}
    </Panel>
  )
}

function LinesForm({ options, set }: FormProps) {
  return (
    <Panel title="Lines">
      <div className="dash-pair">
        <SelectField
          label="Stacking"
          value={options.stacking}
          choices={[['none', 'none'], ['normal', 'on one another'], ['percent', 'as shares']] as const}
          set={(stacking) => set({ stacking })}
        />
        <SelectField label="Fill" value={options.fill > 0 ? '20' : '0'} choices={[['0', 'none'], ['20', 'below the line']] as const} set={(fill) => set({ fill: Number(fill) })} />
      </div>
      <div className="dash-pair">
        <SelectField label="Legend" value={options.legend} choices={[['list', 'list'], ['table', 'table'], ['hidden', 'hidden']] as const} set={(legend) => set({ legend })} />
        <SelectField label="No value" value={options.nulls} choices={[['gap', 'a gap'], ['connect', 'a line across'], ['zero', 'counts as 0']] as const} set={(nulls) => set({ nulls })} />
      </div>
    </Panel>
  )
}

export function NumberField({ label, value, set }: { label: string; value: number | null; set: (value: number | null) => void }) {
  return (
    <TextField
      label={label}
      type="number"
      step="any"
      value={value ?? ''}
      placeholder="auto"
      onChange={(event) => set(event.target.value === '' || Number.isNaN(event.target.valueAsNumber) ? null : event.target.valueAsNumber)}
    />
  )
}
