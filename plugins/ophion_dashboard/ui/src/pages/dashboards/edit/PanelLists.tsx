import { Plus, X } from 'lucide-react'
import { IconButton } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { TextField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import type { PanelLink, PanelOptions, Threshold } from '../model/types'
import { COLOUR_NAMES } from '../model/values'
import { NumberField } from './PanelOptions'

interface Props {
  options: PanelOptions
  set: (options: Partial<PanelOptions>) => void
}

/** Colours from a value on; a line of the chart for each. */
export function ThresholdsForm({ options, set }: Props) {
  const { thresholds } = options
  const change = (at: number, next: Threshold | null) => set({ thresholds: changed(thresholds, at, next) })
  const add = () => set({ thresholds: [...thresholds, { value: (thresholds.at(-1)?.value ?? 0) + (thresholds.length ? 1 : 0), color: 'red' }] })
  return (
    <Panel title="Thresholds" actions={<Add label="Add a threshold" run={add} />}>
      {thresholds.map((threshold, index) => (
        <div key={index} className="dash-line">
          <NumberField label="From" value={threshold.value} set={(value) => change(index, { ...threshold, value })} />
          <SelectField
            label="Colour"
            value={threshold.color}
            choices={[...new Set([...COLOUR_NAMES, threshold.color])].map((one) => [one, one] as const)}
            set={(color) => change(index, { ...threshold, color })}
          />
          <Remove label={`Remove threshold ${index + 1}`} run={() => change(index, null)} />
        </div>
      ))}
      {thresholds.length === 0 ? <p className="faint small">None: values keep the colour of their series.</p> : null}
    </Panel>
  )
}

/** Where the panel's head leads. */
export function LinksForm({ options, set }: Props) {
  const { links } = options
  const change = (at: number, next: PanelLink | null) => set({ links: changed(links, at, next) })
  return (
    <Panel title="Links" actions={<Add label="Add a link" run={() => set({ links: [...links, { title: 'More', url: '/' }] })} />}>
      {links.map((link, index) => (
        <div key={index} className="dash-line">
          <TextField label="Title" value={link.title} maxLength={100} onChange={(event) => change(index, { ...link, title: event.target.value })} />
          <TextField
            label="Address"
            value={link.url}
            onChange={(event) => change(index, { ...link, url: event.target.value })}
            wrong={/^(https?:\/\/|\/(?![/\\]))\S*$/.test(link.url) ? undefined : 'Begins with / or https://'}
          />
          <Remove label={`Remove link ${index + 1}`} run={() => change(index, null)} />
        </div>
      ))}
      {links.length === 0 ? <p className="faint small">None. An address may name variables, such as /hosts/$host.</p> : null}
    </Panel>
  )
}

function changed<T>(items: readonly T[], at: number, next: T | null): T[] {
  return items.flatMap((one, index) => (index === at ? (next === null ? [] : [next]) : [one]))
}

function Add({ label, run }: { label: string; run: () => void }) {
  return (
    <IconButton label={label} onPress={run}>
      <Plus size={14} aria-hidden />
    </IconButton>
  )
}

function Remove({ label, run }: { label: string; run: () => void }) {
  return (
    <IconButton label={label} onPress={run}>
      <X size={14} aria-hidden />
    </IconButton>
  )
}
