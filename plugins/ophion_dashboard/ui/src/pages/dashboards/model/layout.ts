/** Where panels stand: a grid of 24 columns in which everything falls up. */
import { COLUMNS, type Position } from './types'

export interface Placed extends Position {
  id: number
}

export const LEAST_WIDTH = 2
export const LEAST_HEIGHT = 2
const MOST_HEIGHT = 60

export function collides(left: Position, right: Position): boolean {
  return left.x < right.x + right.w && right.x < left.x + left.w && left.y < right.y + right.h && right.y < left.y + left.h
}

function inOrder(items: readonly Placed[], first?: number): Placed[] {
  return [...items].sort((left, right) => left.y - right.y || Number(right.id === first) - Number(left.id === first) || left.x - right.x)
}

function clamped(item: Placed): Placed {
  const w = Math.min(COLUMNS, Math.max(1, item.w))
  return { ...item, w, h: Math.min(MOST_HEIGHT, Math.max(1, item.h)), x: Math.min(COLUMNS - w, Math.max(0, item.x)), y: Math.max(0, item.y) }
}

/** Return the layout with every panel as high up as those above it let it; `first` wins where two want one place. */
export function compact(items: readonly Placed[], first?: number): Placed[] {
  const done: Placed[] = []
  for (const item of inOrder(items.map(clamped), first)) {
    let placed = item
    while (done.some((other) => collides(other, placed))) placed = { ...placed, y: placed.y + 1 }
    while (placed.y > 0 && !done.some((other) => collides(other, { ...placed, y: placed.y - 1 }))) placed = { ...placed, y: placed.y - 1 }
    done.push(placed)
  }
  return items.map((item) => done.find((one) => one.id === item.id) ?? item)
}

export type Direction = 'left' | 'right' | 'up' | 'down'

/** Return the layout after a panel moved one step: sideways by a column, up and down past its neighbour. */
export function move(items: readonly Placed[], id: number, direction: Direction): Placed[] {
  const item = items.find((one) => one.id === id)
  if (!item) return [...items]
  const moved = direction === 'up' || direction === 'down' ? past(items, item, direction) : aside(item, direction)
  return compact(items.map((one) => (one.id === id ? moved : one)), id)
}

function aside(item: Placed, direction: 'left' | 'right'): Placed {
  const x = item.x + (direction === 'left' ? -1 : 1)
  return { ...item, x: Math.min(COLUMNS - item.w, Math.max(0, x)) }
}

function past(items: readonly Placed[], item: Placed, direction: 'up' | 'down'): Placed {
  const inColumn = items.filter((one) => one.id !== item.id && one.x < item.x + item.w && item.x < one.x + one.w)
  if (direction === 'up') {
    const above = inColumn.filter((one) => one.y < item.y).sort((left, right) => right.y - left.y)[0]
    return above ? { ...item, y: above.y } : item
  }
  const below = inColumn.filter((one) => one.y >= item.y + item.h).sort((left, right) => left.y - right.y)[0]
  return below ? { ...item, y: below.y + below.h } : item
}

/** Return the layout after a panel grew or shrank by one column or row. */
export function resize(items: readonly Placed[], id: number, direction: Direction): Placed[] {
  const item = items.find((one) => one.id === id)
  if (!item) return [...items]
  const dw = direction === 'right' ? 1 : direction === 'left' ? -1 : 0
  const dh = direction === 'down' ? 1 : direction === 'up' ? -1 : 0
  const w = Math.min(COLUMNS - item.x, Math.max(LEAST_WIDTH, item.w + dw))
  const h = Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, item.h + dh))
  return compact(items.map((one) => (one.id === id ? { ...one, w, h } : one)), id)
}

/** Return the place of a new panel: beside the last ones where there is room, else below all. */
export function placeFor(items: readonly Position[], size: Pick<Position, 'w' | 'h'>): Position {
  const bottom = items.reduce((most, item) => Math.max(most, item.y + item.h), 0)
  const rows = [...new Set(items.map((item) => item.y))].filter((y) => y + size.h >= bottom).sort((left, right) => left - right)
  for (const y of rows) {
    for (let x = 0; x + size.w <= COLUMNS; x += 1) {
      const place = { x, y, ...size }
      if (!items.some((item) => collides(item, place))) return place
    }
  }
  return { x: 0, y: bottom, ...size }
}

/** Say where a panel stands, for those who do not see it. */
export function spoken(title: string, { x, y, w, h }: Position): string {
  return `${title || 'Panel'}: column ${x + 1}, row ${y + 1}, ${w} wide, ${h} high`
}
