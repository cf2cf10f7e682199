import { useId } from 'react'
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

/** The values of one attribute, to choose from. */
export function FacetGroup({ title, values, selected, toggle }: Props) {
  const id = useId()
  return (
    <fieldset className="facets">
      <legend>{title}</legend>
      {values.map((one) => (
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
    </fieldset>
  )
}
