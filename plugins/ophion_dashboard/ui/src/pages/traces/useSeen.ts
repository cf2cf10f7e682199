import { useCallback, useEffect, useRef, useState, type RefObject } from 'react'
import { scrollFor, seen, type Slice } from './rows'

interface Seen extends Slice {
  scroller: RefObject<HTMLDivElement | null>
  onScroll: () => void
  /** Scroll as little as shows a row whole. */
  show: (place: number) => void
  /** Rows that fit. */
  page: () => number
}

const COARSE = 4

/** Rows of a fixed height of which only those seen are drawn; `covered` pixels at the top lie under a sticky head. */
export function useSeen(count: number, rowHeight: number, covered = 0): Seen {
  const scroller = useRef<HTMLDivElement>(null)
  const [slice, setSlice] = useState<Slice>({ first: 0, last: 40 })
  const onScroll = useCallback(() => {
    const node = scroller.current
    if (!node) return
    const exact = seen(node.scrollTop, node.clientHeight, rowHeight, Number.MAX_SAFE_INTEGER)
    // Drawn anew every few rows only.
    const next = { first: Math.floor(exact.first / COARSE) * COARSE, last: Math.ceil(exact.last / COARSE) * COARSE }
    setSlice((before) => (before.first === next.first && before.last === next.last ? before : next))
  }, [rowHeight])
  useEffect(() => {
    const node = scroller.current
    if (!node) return undefined
    const observer = new ResizeObserver(onScroll)
    observer.observe(node)
    return () => observer.disconnect()
  }, [onScroll])
  const height = useCallback(() => (scroller.current?.clientHeight ?? 400) - covered, [covered])
  const show = useCallback(
    (place: number) => {
      const node = scroller.current
      if (node) node.scrollTop = scrollFor(place, node.scrollTop, height(), rowHeight)
    },
    [height, rowHeight],
  )
  const page = useCallback(() => Math.max(1, Math.floor(height() / rowHeight) - 1), [height, rowHeight])
  return { scroller, first: Math.min(slice.first, count), last: Math.min(slice.last, count), onScroll, show, page }
}
