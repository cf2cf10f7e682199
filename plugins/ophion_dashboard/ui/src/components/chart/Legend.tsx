import { Dot } from '../Badge'
import { summarise, type Line } from './data'

interface Props {
  lines: readonly Line[]
  colors: readonly string[]
  hidden: ReadonlySet<string>
  setHidden: (hidden: ReadonlySet<string>) => void
  format: (value: number) => string
  /** Show what the bars of a line add up to, not the last value. */
  sums?: boolean
}

const MOST = 60

/** The lines' names with their latest values. A click hides a line, with Alt all others. */
export function Legend({ lines, colors, hidden, setHidden, format, sums }: Props) {
  const toggle = (key: string, alone: boolean) => {
    if (alone) {
      const others = lines.map((line) => line.key).filter((other) => other !== key)
      setHidden(new Set(others.every((other) => hidden.has(other)) ? [] : others))
      return
    }
    const next = new Set(hidden)
    if (!next.delete(key)) next.add(key)
    setHidden(next)
  }
  return (
    <ul className="legend">
      {lines.slice(0, MOST).map((line, index) => {
        const { last, sum } = summarise(line.points)
        const value = sums ? sum : last
        return (
          <li key={line.key}>
            <button type="button" aria-pressed={!hidden.has(line.key)} onClick={(event) => toggle(line.key, event.altKey)}>
              <Dot color={colors[index] ?? 'gray'} />
              <span className="ellipsis" title={line.name ?? line.key}>
                {line.name ?? line.key}
              </span>
              <span className="faint">{value === null ? '' : format(value)}</span>
            </button>
          </li>
        )
      })}
      {lines.length > MOST ? <li className="faint small">and {lines.length - MOST} more</li> : null}
    </ul>
  )
}
