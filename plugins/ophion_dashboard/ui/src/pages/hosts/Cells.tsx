import { Meter } from '@/components/Stat'
import { Sparkline } from '@/components/Sparkline'
import { percent } from '@/lib/format'
import './hosts.css'

interface ShareProps {
  label: string
  fraction: number | null | undefined
  /** What stands for the share, such as `1.2 GiB`; the percentage by default. */
  text?: string
}

/** A share as a bar with its number. */
export function Share({ label, fraction, text }: ShareProps) {
  if (fraction === null || fraction === undefined) return <span className="faint">-</span>
  return (
    <div className="hosts-share">
      <Meter label={label} fraction={fraction} />
      <span>{text ?? percent(fraction)}</span>
    </div>
  )
}

/** The course of a figure, or nothing where there is none. */
export function Course({ label, values, width = 110, color }: { label: string; values: readonly (number | null)[] | undefined; width?: number; color?: string }) {
  if (!values?.some((value) => value !== null && Number.isFinite(value))) return <span className="faint">-</span>
  return <Sparkline label={label} values={values} width={width} height={24} color={color} />
}

/** A figure that some do not send. */
export function Figure({ value, format }: { value: number | null | undefined; format: (value: number) => string }) {
  return value === null || value === undefined ? <span className="faint">-</span> : <>{format(value)}</>
}

/** Return a figure in words, or a dash where nobody sends it. */
export function known(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? '-' : format(value)
}

export function NoFigures() {
  return <p className="faint">No figures in the last five minutes of this range.</p>
}
