import { useCallback, useEffect, useMemo, useRef, type CSSProperties, type MouseEvent } from 'react'
import { nameColor } from '@/lib/colors'
import { duration } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import type { Trace } from './useTrace'
import { nextMatch } from './find'
import { Minimap } from './Minimap'
import { collapsedBelow, moved, revealed, visibleRows, type Move } from './rows'
import { useSeen } from './useSeen'
import { useWaterfallKeys, type WaterfallActions } from './useWaterfallKeys'
import { panned, place, ticks, zoomed, type View } from './view'
import { ROW_HEIGHT, rowId, WaterfallRow } from './WaterfallRow'

interface Props {
  trace: Trace
  view: View
  whole: View
  setView: (view: View) => void
  /** Index of the selected span, -1 without one. */
  selected: number
  select: (index: number | undefined) => void
  matches: readonly number[]
  showCritical: boolean
  collapsed: ReadonlySet<number>
  setCollapsed: (collapsed: ReadonlySet<number>) => void
  active: number
  setActive: (index: number) => void
}

export const HEAD_HEIGHT = 28
const WIDEST_INDENT = 14

/** Spans over time as a tree: scrolls through tens of thousands, and goes by keyboard alone. */
export function Waterfall(props: Props) {
  const { trace, view, whole, setView, selected, select, matches, collapsed, setCollapsed, active, setActive } = props
  const { tree } = trace
  const { dark } = useTheme()
  const rows = useMemo(() => visibleRows(tree, collapsed), [tree, collapsed])
  const places = useMemo(() => new Map(rows.map((index, at) => [index, at])), [rows])
  const found = useMemo(() => new Set(matches), [matches])
  const colors = useMemo(() => new Map(trace.view.services.map(({ name }) => [name, nameColor(name, dark)])), [trace, dark])
  const { scroller, first, last, onScroll, show, page } = useSeen(rows.length, ROW_HEIGHT, HEAD_HEIGHT)
  const indent = Math.min(WIDEST_INDENT, 150 / Math.max(1, tree.deepest))

  const goTo = useCallback(
    (index: number | undefined) => {
      if (index === undefined) return
      const open = revealed(tree, collapsed, index)
      if (open !== collapsed) setCollapsed(open)
      setActive(index)
    },
    [tree, collapsed, setCollapsed, setActive],
  )
  // Wherever it was chosen, by a key, a search or a link, the active span is brought into view; folding others moves nothing.
  const latest = useRef(places)
  useEffect(() => {
    latest.current = places
  }, [places])
  useEffect(() => {
    const at = latest.current.get(active)
    if (at !== undefined) show(at)
  }, [active, show])
  const toggle = useCallback(
    (index: number) => {
      const next = new Set(collapsed)
      if (!next.delete(index)) next.add(index)
      setCollapsed(next)
    },
    [collapsed, setCollapsed],
  )
  const actions = useMemo<WaterfallActions>(() => {
    const node = tree.nodes[active]
    const here = places.get(active) ?? 0
    return {
      move: (move: Move) => goTo(rows[moved(here, move, rows.length, page())]),
      inward: () => (node?.children.length ? (collapsed.has(active) ? toggle(active) : goTo(node.children[0])) : undefined),
      outward: () => (node?.children.length && !collapsed.has(active) ? toggle(active) : node && node.parent >= 0 ? goTo(node.parent) : undefined),
      open: () => select(active),
      close: () => select(undefined),
      zoom: (factor) => setView(zoomed(view, whole, factor, focusOf(node, view))),
      pan: (share) => setView(panned(view, whole, share)),
      whole: () => setView(whole),
      next: (back) => goTo(nextMatch(tree, matches, active, back)),
      expandAll: (expand) => setCollapsed(expand ? new Set() : collapsedBelow(tree, 1)),
    }
  }, [tree, active, places, rows, collapsed, view, whole, matches, goTo, toggle, select, setView, setCollapsed, page])
  const onKeyDown = useWaterfallKeys(actions)
  const onClick = (event: MouseEvent) => {
    const target = event.target as Element
    const toggled = target.closest<HTMLElement>('[data-toggle]')?.dataset.toggle
    const index = Number(target.closest<HTMLElement>('[data-span]')?.dataset.span ?? -1)
    if (index < 0) return
    setActive(index)
    if (toggled === undefined) select(index)
    else toggle(index)
  }

  const drawn = rows.slice(first, last)
  // What aria-activedescendant names has to be there, also when it is scrolled away.
  if (places.has(active) && !drawn.includes(active)) drawn.push(active)
  return (
    <div className="traces-waterfall">
      <Minimap tree={tree} view={view} whole={whole} setView={setView} />
      <div
        ref={scroller}
        role="treegrid"
        aria-label="Spans of the trace"
        aria-rowcount={rows.length + 1}
        aria-activedescendant={places.has(active) ? rowId(active) : undefined}
        aria-describedby="waterfall-keys"
        tabIndex={0}
        className="traces-grid"
        onScroll={onScroll}
        onKeyDown={onKeyDown}
        onClick={onClick}
        data-testid="waterfall"
      >
        <Head view={view} start={tree.start} />
        <div role="rowgroup" className="traces-rows" style={{ height: rows.length * ROW_HEIGHT } as CSSProperties}>
          {drawn.map((index) => {
            const node = tree.nodes[index]
            return node ? (
              <WaterfallRow
                key={index}
                node={node}
                row={places.get(index) ?? 0}
                view={view}
                color={colors.get(node.span.service) ?? 'gray'}
                indent={indent}
                collapsed={collapsed.has(index)}
                active={index === active}
                selected={index === selected}
                found={found.has(index)}
                segments={props.showCritical ? trace.segments.get(index) : undefined}
              />
            ) : null
          })}
        </div>
      </div>
    </div>
  )
}

/** Zooming keeps the middle of the active span in its place, where that is seen. */
function focusOf(node: { start: number; end: number } | undefined, view: View): number {
  const at = node ? place((node.start + node.end) / 2, view) : 0.5
  return at >= 0 && at <= 1 ? at : 0.5
}

function Head({ view, start }: { view: View; start: number }) {
  const marks = ticks(view)
  return (
    <div role="rowgroup" className="traces-head" style={{ height: HEAD_HEIGHT }}>
      <div role="row" aria-rowindex={1} className="traces-head-row">
        <div role="columnheader" className="traces-name">
          Service and operation
        </div>
        <div role="columnheader" className="traces-track" aria-label="Time from the start of the trace">
          <div className="traces-lane">
            {marks.map((time) => (
              <span key={time} className="traces-mark" style={{ left: `${place(time, view) * 100}%` }} aria-hidden>
                {time === start ? '0' : duration(Math.round((time - start) * 1e6))}
              </span>
            ))}
          </div>
        </div>
      </div>
    </div>
  )
}
