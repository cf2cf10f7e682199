/** The search part of URLs: plain `key=value`, lists as repeated keys, so that people can read and write them. */

export type Search = Record<string, unknown>

export function parseSearch(text: string): Search {
  const found: Record<string, string | string[]> = {}
  for (const [key, value] of new URLSearchParams(text)) {
    const before = found[key]
    if (before === undefined) found[key] = value
    else found[key] = Array.isArray(before) ? [...before, value] : [before, value]
  }
  return found
}

export function stringifySearch(search: Search): string {
  const parameters = new URLSearchParams()
  for (const [key, value] of Object.entries(search)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') parameters.append(key, String(one))
    }
  }
  const text = parameters.toString().replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/')
  return text ? `?${text}` : ''
}

/** Readers for validateSearch: each takes what stood in the URL and returns a value that is safe to use. */
export function text(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value
  return one === undefined || one === '' ? undefined : String(one)
}

export function list(value: unknown): string[] | undefined {
  const values = (Array.isArray(value) ? value : [value]).filter((one) => one !== undefined && one !== '').map(String)
  return values.length ? values : undefined
}

export function oneOf<T extends string>(value: unknown, choices: readonly T[]): T | undefined {
  return choices.find((choice) => choice === text(value))
}

export function someOf<T extends string>(value: unknown, choices: readonly T[]): T[] | undefined {
  const known = choices.filter((choice) => list(value)?.includes(choice))
  return known.length ? known : undefined
}

export function number(value: unknown): number | undefined {
  const one = text(value)
  const parsed = one === undefined ? Number.NaN : Number(one)
  return Number.isFinite(parsed) ? parsed : undefined
}

export function flag(value: unknown): true | undefined {
  return text(value) === 'true' ? true : undefined
}
