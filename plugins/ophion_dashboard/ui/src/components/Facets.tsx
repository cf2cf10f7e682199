import { useId, useState } from 'react'
import { count } from '@/lib/format'

export interface FacetValue {
  value: string
  count?: number
  name?: string
}

interface Props {
  title: string
  values: readonly FacetValue[]
  selected: readonly string[]
  toggle: (value: string) => void
}

const FIRST = 10

/** The values of one attribute, to choose from; the selected ones are always shown. */
export function FacetGroup({ title, values, selected, toggle }: Props) {
  const id = useId()
  const [all, setAll] = useState(false)
  const shown = all ? values : values.filter((one, index) => index < FIRST || selected.includes(one.value))
  return (
    <fieldset className="facets">
      <legend>{title}</legend>
      {shown.map((one) => (
        <label key={one.value} className="row small" htmlFor={`${id}-${one.value}`}>
          <input
            id={`${id}-${one.value}`}
            type="checkbox"
            checked={selected.includes(one.value)}
            onChange={() => toggle(one.value)}
          />
          <span className="ellipsis grow" title={one.name ?? one.value}>
            {one.name ?? one.value}
          </span>
          {one.count === undefined ? null : <span className="faint">{count(one.count)}</span>}
        </label>
      ))}
      {values.length > FIRST ? (
        <button type="button" className="more" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'Fewer' : `All ${values.length}`}
        </button>
      ) : null}
    </fieldset>
  )
}
