import { useCallback, useRef, useState, type PointerEvent } from 'react'
import { useTheme } from '@/shell/theme'
import type { TraceTree } from './tree'
import { drawTree } from './treeDrawing'
import { clamped, place, type View } from './view'
import { Canvas, useSize } from './Canvas'

interface Props {
  tree: TraceTree
  view: View
  whole: View
  setView: (view: View) => void
}

interface Drag {
  /** Shares of the width. */
  from: number
  to: number
  /** What was shown when a drag inside of it began, which moves it. */
  moves?: View
}

const LEAST_SHARE = 0.004

/** The whole trace in little: drag to show a part of it, drag that part to move it, click twice for everything. */
export function Minimap({ tree, view, whole, setView }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const [drag, setDrag] = useState<Drag>()
  const { dark } = useTheme()
  const size = useSize(frame)
  const draw = useCallback((context: CanvasRenderingContext2D) => drawTree(context, tree, whole, size.width, size.height, dark), [tree, whole, size, dark])

  const isWhole = view.start <= whole.start && view.end >= whole.end
  const share = (event: PointerEvent) => {
    const bounds = event.currentTarget.getBoundingClientRect()
    return Math.max(0, Math.min(1, (event.clientX - bounds.left) / bounds.width))
  }
  const time = (at: number) => whole.start + at * (whole.end - whole.start)
  const down = (event: PointerEvent) => {
    event.currentTarget.setPointerCapture(event.pointerId)
    const at = share(event)
    const inside = !isWhole && at > place(view.start, whole) && at < place(view.end, whole)
    setDrag({ from: at, to: at, moves: inside ? view : undefined })
  }
  const move = (event: PointerEvent) => {
    if (!drag) return
    const to = share(event)
    setDrag({ ...drag, to })
    if (drag.moves) {
      const by = time(to) - time(drag.from)
      setView(clamped({ start: drag.moves.start + by, end: drag.moves.end + by }, whole))
    }
  }
  const up = () => {
    if (drag && !drag.moves && Math.abs(drag.to - drag.from) > LEAST_SHARE) {
      setView({ start: time(Math.min(drag.from, drag.to)), end: time(Math.max(drag.from, drag.to)) })
    }
    setDrag(undefined)
  }
  const brush = drag && !drag.moves ? { left: Math.min(drag.from, drag.to), right: Math.max(drag.from, drag.to) } : undefined
  return (
    <div
      ref={frame}
      className="traces-minimap"
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={() => setDrag(undefined)}
      onDoubleClick={() => setView(whole)}
      title="Drag to zoom, double-click for the whole trace"
      aria-hidden
      data-testid="minimap"
    >
      <Canvas size={size} draw={draw} />
      {isWhole ? null : (
        <>
          <span className="traces-shade" style={{ left: 0, width: `${Math.max(0, place(view.start, whole)) * 100}%` }} />
          <span className="traces-shade" style={{ right: 0, width: `${Math.max(0, 1 - place(view.end, whole)) * 100}%` }} />
        </>
      )}
      {brush ? <span className="traces-brush" style={{ left: `${brush.left * 100}%`, width: `${(brush.right - brush.left) * 100}%` }} /> : null}
    </div>
  )
}
