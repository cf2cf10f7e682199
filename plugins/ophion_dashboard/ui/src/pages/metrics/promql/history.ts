import { remember, remembered } from '@/lib/storage'

const KEY = 'metrics.history'
const MOST = 50

/** Return the queries that ran in this browser, newest first. */
export function pastQueries(): string[] {
  try {
    const kept: unknown = JSON.parse(remembered(KEY) ?? '[]')
    return Array.isArray(kept) ? kept.filter((one): one is string => typeof one === 'string') : []
  } catch {
    return []
  }
}

export function addToHistory(past: readonly string[], expression: string): string[] {
  const trimmed = expression.trim()
  return trimmed ? [trimmed, ...past.filter((one) => one !== trimmed)].slice(0, MOST) : [...past]
}

export function keepQuery(expression: string): void {
  const past = pastQueries()
  if (past[0] !== expression.trim()) remember(KEY, JSON.stringify(addToHistory(past, expression)))
}
