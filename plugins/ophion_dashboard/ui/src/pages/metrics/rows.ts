import { useCallback, useRef, useState } from 'react'

/** A query as it is being written; what runs stands in the URL. */
export interface Row {
  id: number
  draft: string
}

export interface Rows {
  rows: readonly Row[]
  write: (id: number, draft: string) => void
  add: (draft: string) => Row[]
  /** Return the rows as they are after the change, for `run`. */
  replace: (id: number, draft: string) => Row[]
  remove: (id: number) => Row[]
}

export function texts(rows: readonly Row[]): string[] {
  return rows.map((row) => row.draft.trim()).filter(Boolean)
}

export function letter(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : `${letter(Math.floor(index / 26) - 1)}${letter(index % 26)}`
}

/** Return the letters of hidden queries after one was removed: those behind it move up. */
export function hiddenAfter(hidden: readonly string[], removed: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => index)
    .filter((index) => index !== removed && hidden.includes(letter(index)))
    .map((index) => letter(index > removed ? index - 1 : index))
}

/** The rows of queries: those of the URL, unless somebody is writing. */
export function useRows(running: readonly string[]): Rows {
  const next = useRef(running.length + 1)
  const [rows, setRows] = useState<Row[]>(() => fresh(running, 0))
  const [known, setKnown] = useState(running.join('\n\n'))
  const now = running.join('\n\n')
  if (now !== known) {
    setKnown(now)
    // After going back in the browser's history the URL is right; after a run it is what the rows say already.
    if (texts(rows).join('\n\n') !== now) setRows(fresh(running, 1000 + rows.length))
  }
  const change = useCallback(
    (made: Row[]) => {
      setRows(made)
      return made
    },
    [setRows],
  )
  const write = useCallback((id: number, draft: string) => setRows((before) => before.map((row) => (row.id === id ? { id, draft } : row))), [])
  const add = (draft: string) => {
    const last = rows.at(-1)
    if (draft && last && !last.draft.trim()) return change(rows.map((row) => (row === last ? { ...row, draft } : row)))
    next.current += 1
    return change([...rows, { id: 100_000 + next.current, draft }])
  }
  const replace = (id: number, draft: string) => change(rows.map((row) => (row.id === id ? { id, draft } : row)))
  const remove = (id: number) => {
    const left = rows.filter((row) => row.id !== id)
    return change(left.length ? left : fresh([], 2000 + id))
  }
  return { rows, write, add, replace, remove }
}

function fresh(expressions: readonly string[], from: number): Row[] {
  return (expressions.length ? expressions : ['']).map((draft, index) => ({ id: from + index, draft }))
}
