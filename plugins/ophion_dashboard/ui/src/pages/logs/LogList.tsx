import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useId, useRef, useState, type KeyboardEvent } from 'react'
import { clock, type Zone } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { levelColor } from './levels'
import { bodyText, entryKey, milliseconds, type Entry } from './records'

interface Props {
  label: string
  entries: readonly Entry[]
  wrap: boolean
  selected?: string
  select: (key: string | undefined) => void
  reachedEnd?: () => void
  loading?: boolean
  /** Stay at the end while entries come. */
  follow?: boolean
}

const LINE_HEIGHT = 24
const NEAR_END = 20

/** Lines of records; arrow keys move, Enter opens the details. Only lines that are seen are drawn. */
export function LogList({ label, entries, wrap, selected, select, reachedEnd, loading, follow }: Props) {
  const scroller = useRef<HTMLDivElement>(null)
  const id = useId()
  const { zone } = useTime()
  const { dark } = useTheme()
  const [active, setActive] = useState(-1)
  const atEnd = useRef(true)
  const lastTop = useRef(0)
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_HEIGHT,
    getItemKey: (index) => {
      const entry = entries[index]
      return entry ? `${entryKey(entry)} ${follow ? '' : index}` : index
    },
    overscan: 20,
  })
  const items = virtual.getVirtualItems()
  const lastSeen = items.at(-1)?.index ?? 0

  useEffect(() => {
    if (reachedEnd && entries.length && lastSeen >= entries.length - NEAR_END) reachedEnd()
  }, [lastSeen, entries.length, reachedEnd])
  useEffect(() => {
    if (follow && atEnd.current && scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight
  }, [follow, entries])

  const open = (index: number) => {
    const entry = entries[index]
    if (!entry) return
    setActive(index)
    select(entryKey(entry) === selected ? undefined : entryKey(entry))
  }
  const move = (to: number) => {
    const next = Math.min(entries.length - 1, Math.max(0, to))
    setActive(next)
    virtual.scrollToIndex(next)
  }
  const keys = (event: KeyboardEvent) => {
    const step: Record<string, number> = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 20, PageUp: active - 20, Home: 0, End: entries.length - 1 }
    const to = step[event.key]
    if (to !== undefined) move(to)
    else if (event.key === 'Enter' || event.key === ' ') open(active)
    else if (event.key === 'Escape' && selected) select(undefined)
    else return
    event.preventDefault()
  }
  const onScroll = () => {
    const node = scroller.current
    if (!node) return
    // Lines may have come since the list was moved to its end: only who scrolls up leaves it.
    const isNear = node.scrollHeight - node.scrollTop - node.clientHeight < 2 * LINE_HEIGHT
    atEnd.current = isNear || (atEnd.current && node.scrollTop >= lastTop.current)
    lastTop.current = node.scrollTop
  }
  return (
    <div
      ref={scroller}
      className={`logs-list ${wrap ? 'wrapped' : ''}`}
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-busy={loading}
      aria-activedescendant={items.some((item) => item.index === active) ? `${id}-${active}` : undefined}
      onKeyDown={keys}
      onScroll={onScroll}
    >
      <div style={{ height: virtual.getTotalSize(), position: 'relative' }} role="presentation">
        {items.map((item) => {
          const entry = entries[item.index]
          return entry ? (
            <div
              key={item.key}
              id={`${id}-${item.index}`}
              ref={wrap ? virtual.measureElement : undefined}
              data-index={item.index}
              className="logs-line"
              role="option"
              aria-selected={selected === entryKey(entry)}
              aria-setsize={entries.length}
              aria-posinset={item.index + 1}
              data-active={item.index === active || undefined}
              style={{ transform: `translateY(${item.start}px)` }}
              onClick={() => open(item.index)}
            >
              <Line entry={entry} zone={zone} dark={dark} />
            </div>
          ) : null
        })}
      </div>
    </div>
  )
}

function Line({ entry, zone, dark }: { entry: Entry; zone: Zone; dark: boolean }) {
  return (
    <>
      <span className="logs-level" style={{ background: levelColor(entry.severity, dark) }} aria-hidden />
      <span className="faint">{clock(milliseconds(entry.time), zone, 3).slice(5)}</span>
      <span className="logs-level-name">{entry.severity === 'unspecified' ? '' : entry.severity}</span>
      <span className="logs-service ellipsis">{entry.service}</span>
      <span className="logs-text">{bodyText(entry.body) || entry.event_name}</span>
    </>
  )
}
