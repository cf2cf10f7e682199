import { shown } from './find'

/** Time of the other pages: some milliseconds around what is looked at, as their URLs take it. */
export interface Around {
  from: string
  to: string
}

export function around(startMs: number, endMs: number, before: number, after = before): Around {
  return { from: String(Math.floor(startMs - before)), to: String(Math.ceil(endMs + after)) }
}

export function textOf(attributes: Record<string, unknown> | undefined, key: string): string {
  return shown(attributes?.[key])
}
