import { useCallback, useRef, type KeyboardEvent } from 'react'
import type { Move } from './rows'

export interface WaterfallActions {
  move: (move: Move) => void
  /** Into the first child, or open what is closed; and the way back. */
  inward: () => void
  outward: () => void
  open: () => void
  close: () => void
  zoom: (factor: number) => void
  pan: (share: number) => void
  whole: () => void
  next: (back: boolean) => void
  expandAll: (expand: boolean) => void
}

const MOVES: Readonly<Record<string, Move>> = { ArrowUp: 'up', ArrowDown: 'down', PageUp: 'pageup', PageDown: 'pagedown', Home: 'first', End: 'last', k: 'up', j: 'down' }
const SEQUENCE_MS = 1000

/** Keys of the waterfall, as its help shows them. */
export const WATERFALL_KEYS: readonly (readonly [string, string])[] = [
  ['↑ ↓', 'span above, below'],
  ['← →', 'collapse, expand'],
  ['Enter', 'details'],
  ['w s', 'zoom in, out'],
  ['a d', 'move left, right'],
  ['0', 'whole trace'],
  ['n N', 'next, previous match'],
  ['* −', 'expand, collapse all'],
]

function actionOf(key: string, actions: WaterfallActions): (() => void) | undefined {
  const move = MOVES[key]
  if (move) return () => actions.move(move)
  const others: Readonly<Record<string, () => void>> = {
    ArrowRight: actions.inward,
    ArrowLeft: actions.outward,
    Enter: actions.open,
    ' ': actions.open,
    Escape: actions.close,
    w: () => actions.zoom(0.7),
    s: () => actions.zoom(1 / 0.7),
    a: () => actions.pan(-0.2),
    d: () => actions.pan(0.2),
    '0': actions.whole,
    n: () => actions.next(false),
    N: () => actions.next(true),
    '*': () => actions.expandAll(true),
    '-': () => actions.expandAll(false),
  }
  return Object.hasOwn(others, key) ? others[key] : undefined
}

/** Return the listener of the waterfall. A letter after `g` goes to another page and is not the waterfall's. */
export function useWaterfallKeys(actions: WaterfallActions): (event: KeyboardEvent) => void {
  const wentAt = useRef(-Infinity)
  return useCallback(
    (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const isSequence = event.timeStamp - wentAt.current < SEQUENCE_MS
      wentAt.current = event.key === 'g' ? event.timeStamp : -Infinity
      const action = isSequence ? undefined : actionOf(event.key, actions)
      if (!action) return
      event.preventDefault()
      action()
    },
    [actions],
  )
}
