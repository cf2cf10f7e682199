import { Link } from '@tanstack/react-router'
import { useCallback, useMemo, useRef } from 'react'
import { Badge } from '@/components/Badge'
import { Button } from '@/components/Button'
import { Panel } from '@/components/Panel'
import { count, duration } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { Canvas, useSize } from './Canvas'
import { drawTree } from './treeDrawing'
import { titleOf, type Trace } from './useTrace'

interface Props {
  label: string
  trace: Trace
  /** Both traces are drawn at the scale of the longer one, in milliseconds. */
  longest: number
  change: () => void
}

const HEIGHT = 84

/** One of the two traces, in little. */
export function CompareSide({ label, trace, longest, change }: Props) {
  const { zone } = useTime()
  const { dark } = useTheme()
  const frame = useRef<HTMLDivElement>(null)
  const { width } = useSize(frame)
  const size = useMemo(() => ({ width, height: HEIGHT }), [width])
  const { tree, view } = trace
  const draw = useCallback(
    (context: CanvasRenderingContext2D) => drawTree(context, tree, { start: tree.start, end: tree.start + longest }, width, HEIGHT, dark),
    [tree, longest, width, dark],
  )
  const { name, service } = titleOf(trace)
  return (
    <Panel
      title={
        <>
          <span className="traces-letter">{label}</span> {name} <span className="quiet">{service}</span>
        </>
      }
      actions={
        <Button kind="quiet" onPress={change} aria-label={`Change trace ${label}`}>
          Change
        </Button>
      }
    >
      <div className="column">
        <div className="row wrap">
          <b>{duration(view.duration_ms * 1e6)}</b>
          <span>{count(view.spans.length)} spans</span>
          {view.errors ? <Badge tone="bad">{count(view.errors)} failed</Badge> : <span className="quiet">no errors</span>}
          <span className="quiet">{clock(trace.startMs, zone, 3)}</span>
          <Link to="/traces/$traceId" params={{ traceId: view.trace_id }} className="mono">
            {view.trace_id.slice(0, 8)}
          </Link>
        </div>
        <div ref={frame} style={{ height: HEIGHT }} aria-hidden>
          <Canvas size={size} draw={draw} />
        </div>
      </div>
    </Panel>
  )
}
