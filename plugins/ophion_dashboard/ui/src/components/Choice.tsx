import { useId } from 'react'
import { ToggleButton, ToggleButtonGroup } from 'react-aria-components'

interface Props<T extends string> {
  label: string
  value: T
  choices: readonly (readonly [T, string])[]
  set: (value: T) => void
}

/** One of a few, as buttons side by side. */
export function Segments<T extends string>({ label, value, choices, set }: Props<T>) {
  return (
    <ToggleButtonGroup
      aria-label={label}
      className="button-group"
      selectionMode="single"
      disallowEmptySelection
      selectedKeys={[value]}
      onSelectionChange={(keys) => {
        const [key] = keys
        if (key !== undefined) set(key as T)
      }}
    >
      {choices.map(([key, name]) => (
        <ToggleButton key={key} id={key} className="button">
          {name}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  )
}

/** One of several, as the browser's own list; `hidden` keeps the label for screen readers only. */
export function SelectField<T extends string>({ label, value, choices, set, hidden }: Props<T> & { hidden?: boolean }) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id} className={hidden ? 'hidden-visually' : undefined}>
        {label}
      </label>
      <select id={id} className="input" value={value} onChange={(event) => set(event.target.value as T)}>
        {choices.map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </div>
  )
}
