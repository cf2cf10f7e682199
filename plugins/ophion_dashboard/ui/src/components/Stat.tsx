import type { ReactNode } from 'react'

interface Props {
  label: string
  value: ReactNode
  note?: ReactNode
  children?: ReactNode
}

/** One figure with its name; children, such as a sparkline, stand below. */
export function Stat({ label, value, note, children }: Props) {
  return (
    <div className="stat">
      <span className="label">{label}</span>
      <span className="value">{value}</span>
      {note ? <span className="note">{note}</span> : null}
      {children}
    </div>
  )
}

interface MeterProps {
  label: string
  /** 0 to 1. */
  fraction: number
  /** From here it is worth a look, and from here it is bad. */
  warn?: number
  bad?: number
}

export function Meter({ label, fraction, warn = 0.8, bad = 0.95 }: MeterProps) {
  const part = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0))
  const color = part >= bad ? 'var(--bad)' : part >= warn ? 'var(--warn)' : 'var(--accent)'
  return (
    <div
      className="meter"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(part * 100)}
    >
      <span style={{ width: `${part * 100}%`, '--meter': color } as React.CSSProperties} />
    </div>
  )
}

/** Name and value pairs. */
export function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
