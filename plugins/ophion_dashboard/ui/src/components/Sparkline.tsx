interface Props {
  label: string
  values: readonly (number | null)[]
  width?: number
  height?: number
  color?: string
}

/** A line without axes; its range is part of its name. */
export function Sparkline({ label, values, width = 120, height = 28, color = 'var(--accent)' }: Props) {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value))
  const low = Math.min(0, ...known)
  const span = Math.max(...known, low + Number.EPSILON) - low || 1
  const x = (index: number) => (values.length > 1 ? (index / (values.length - 1)) * (width - 2) + 1 : width / 2)
  const y = (value: number) => height - 2 - ((value - low) / span) * (height - 4)
  let path = ''
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) return
    const before = values[index - 1]
    path += `${before === null || before === undefined ? 'M' : 'L'}${x(index).toFixed(1)} ${y(value).toFixed(1)}`
  })
  return (
    <svg role="img" aria-label={label} width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      <path d={path} fill="none" stroke={color} strokeWidth={1.5} strokeLinejoin="round" />
    </svg>
  )
}
