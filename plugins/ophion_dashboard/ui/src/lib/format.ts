/** Numbers as people read them. Units are named as in UCUM or as the short names below. */

const SI = ['', 'k', 'M', 'G', 'T', 'P']
const IEC = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Return at most three significant digits, without trailing zeros. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '-' : value > 0 ? '∞' : '-∞'
  if (value === 0) return '0'
  const magnitude = Math.abs(value)
  if (magnitude >= 1000) return scaled(value, 1000, SI)
  if (magnitude < 0.001) return value.toExponential(1)
  return trimmed(value, magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3)
}

function trimmed(value: number, digits: number): string {
  const text = value.toFixed(digits)
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

function scaled(value: number, base: number, names: string[]): string {
  let rest = Math.abs(value)
  let index = 0
  while (rest >= base - 0.5 && index < names.length - 1) {
    rest /= base
    index += 1
  }
  const digits = rest >= 100 ? 0 : rest >= 10 ? 1 : 2
  const space = base === 1024 ? ' ' : ''
  return `${value < 0 ? '-' : ''}${trimmed(rest, digits)}${space}${names[index]}`
}

export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

export function bytes(value: number): string {
  return Number.isFinite(value) ? scaled(value, 1024, IEC) : '-'
}

export function percent(fraction: number): string {
  if (!Number.isFinite(fraction)) return '-'
  const value = fraction * 100
  return `${trimmed(value, Math.abs(value) >= 99.5 || value === 0 ? 0 : Math.abs(value) >= 10 ? 1 : 2)} %`
}

/** Return a duration given in nanoseconds: `850 µs`, `1.25 s`, `3 min 20 s`. */
export function duration(nanoseconds: number): string {
  if (!Number.isFinite(nanoseconds)) return '-'
  const value = Math.abs(nanoseconds)
  if (value < 1000) return `${Math.round(nanoseconds)} ns`
  if (value < 999_500) return `${short(nanoseconds / 1e3)} µs`
  if (value < 999_500_000) return `${short(nanoseconds / 1e6)} ms`
  if (value < 60e9) return `${short(nanoseconds / 1e9)} s`
  return long(nanoseconds / 1e9)
}

function long(seconds: number): string {
  const parts: [number, string][] = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  const first = parts.findIndex(([size]) => Math.abs(seconds) >= size)
  const [size, name] = parts[first] ?? [1, 's']
  const whole = Math.trunc(seconds / size)
  const [nextSize, nextName] = parts[first + 1] ?? [1, '']
  const rest = Math.round(Math.abs(seconds - whole * size) / nextSize)
  return rest && nextName ? `${whole} ${name} ${rest} ${nextName}` : `${whole} ${name}`
}

export function rate(perSecond: number): string {
  return `${short(perSecond)}/s`
}

const FORMATTERS: Record<string, (value: number) => string> = {
  By: bytes,
  bytes,
  'By/s': (value) => `${bytes(value)}/s`,
  'bytes/s': (value) => `${bytes(value)}/s`,
  percent,
  '1': short,
  '%': (value) => percent(value / 100),
  s: (value) => duration(value * 1e9),
  ms: (value) => duration(value * 1e6),
  us: (value) => duration(value * 1e3),
  ns: duration,
  '/s': rate,
}

/** Return whether a unit is written with powers of 1024. */
export function isBinary(unit = ''): boolean {
  return /^(By|bytes)(\/s)?$/.test(unit)
}

/** Return the formatter of a unit; an unknown unit is written behind the number, `{annotations}` are left out. */
export function formatter(unit = ''): (value: number) => string {
  const known = FORMATTERS[unit]
  if (known) return known
  const plain = unit.replace(/\{[^}]*\}/g, '')
  return plain && plain !== '1' ? (value) => `${short(value)} ${plain}` : short
}
