import { ChevronDown, ChevronRight, CircleAlert, TriangleAlert } from 'lucide-react'
import { memo, type CSSProperties } from 'react'
import { duration } from '@/lib/format'
import type { Segment } from './critical'
import { isWarning } from './oddities'
import type { Node } from './tree'
import { barOf, place, type View } from './view'

export const ROW_HEIGHT = 26

interface Props {
  node: Node
  /** Its place among the rows, from 0. */
  row: number
  view: View
  color: string
  indent: number
  collapsed: boolean
  active: boolean
  selected: boolean
  found: boolean
  segments: readonly Segment[] | undefined
}

/** One span of the waterfall. The waterfall itself listens to clicks and keys. */
export const WaterfallRow = memo(function WaterfallRow(props: Props) {
  const { node, row, view, color, indent, collapsed, active, selected, found, segments } = props
  const { span } = node
  const failed = span.status === 'error'
  const hasChildren = node.children.length > 0
  const Chevron = collapsed ? ChevronRight : ChevronDown
  return (
    <div
      role="row"
      id={rowId(node.index)}
      data-span={node.index}
      aria-rowindex={row + 2}
      aria-level={node.depth + 1}
      aria-expanded={hasChildren ? !collapsed : undefined}
      aria-selected={selected}
      className={`traces-row ${active ? 'active' : ''} ${found ? 'found' : ''}`}
      style={{ transform: `translateY(${row * ROW_HEIGHT}px)`, '--service': color } as CSSProperties}
    >
      <div role="gridcell" className="traces-name" style={{ paddingLeft: 6 + node.depth * indent }}>
        <span className="traces-toggle" data-toggle={hasChildren ? node.index : undefined} aria-hidden>
          {hasChildren ? <Chevron size={14} /> : null}
        </span>
        <span className="traces-stripe" aria-hidden />
        {failed ? <CircleAlert size={13} className="traces-failed" role="img" aria-label="failed" /> : null}
        {node.oddities.some(isWarning) ? <TriangleAlert size={13} className="traces-odd" role="img" aria-label="look at the notes of this span" /> : null}
        <span className="ellipsis" title={`${span.service}: ${span.name}`}>
          <b>{span.service}</b> {span.name}
        </span>
        {collapsed && hasChildren ? <span className="traces-below">+{node.below}</span> : null}
      </div>
      <div role="gridcell" className="traces-track">
        <div className="traces-lane">
          <Bar node={node} view={view} segments={segments} failed={failed} />
        </div>
      </div>
    </div>
  )
})

export function rowId(index: number): string {
  return `span-row-${index}`
}

function Bar({ node, view, segments, failed }: { node: Node; view: View; segments: readonly Segment[] | undefined; failed: boolean }) {
  const bar = barOf(node.start, node.end, view)
  const took = duration((node.end - node.start) * 1e6)
  if (!bar) return <span className="hidden-visually">{took}, outside of the part that is shown</span>
  return (
    <>
      <span className={`traces-bar ${failed ? 'failed' : ''}`} style={{ left: `${bar.left * 100}%`, width: `${bar.width * 100}%` }} aria-hidden />
      {segments?.map((segment) => <Piece key={segment.start} segment={segment} view={view} />)}
      {node.span.events.slice(0, MOST_EVENTS).map((event, at) => (
        <Tick key={at} time={event.offset_ms} view={view} bad={event.name === 'exception'} />
      ))}
      <span className="traces-took" style={{ left: `${(bar.left + bar.width) * 100}%` }}>
        {took}
      </span>
    </>
  )
}

const MOST_EVENTS = 40

function Piece({ segment, view }: { segment: Segment; view: View }) {
  const bar = barOf(segment.start, segment.end, view)
  return bar ? <span className="traces-critical" style={{ left: `${bar.left * 100}%`, width: `${bar.width * 100}%` }} aria-hidden /> : null
}

function Tick({ time, view, bad }: { time: number; view: View; bad: boolean }) {
  const at = place(time, view)
  return at < 0 || at > 1 ? null : <span className={`traces-event ${bad ? 'failed' : ''}`} style={{ left: `${at * 100}%` }} aria-hidden />
}
