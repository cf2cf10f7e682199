import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react'
import GridLayout, { verticalCompactor, type Layout } from 'react-grid-layout'
import 'react-grid-layout/css/styles.css'
import type { Action } from '@/components/Menu'
import type { Range } from '@/lib/time'
import { styleNonce } from '@/pages/metrics/editor/nonce'
import { move, resize, spoken, LEAST_HEIGHT, LEAST_WIDTH, type Direction, type Placed } from '../model/layout'
import type { PanelModel } from '../model/types'
import type { Values } from '../model/variables'
import { PanelBody } from '../panels/PanelBody'
import { PanelFrame } from '../panels/PanelFrame'
import { useSize } from '../panels/usePanel'

interface Props {
  panels: readonly PanelModel[]
  values: Values
  range: Range
  place: (places: readonly Placed[]) => void
  actions: (panel: PanelModel) => Action[]
}

const GRID = { cols: 24, rowHeight: 24, margin: [10, 10] as [number, number], containerPadding: [0, 0] as [number, number] }
const DIRECTIONS: Record<string, Direction> = { ArrowLeft: 'left', ArrowRight: 'right', ArrowUp: 'up', ArrowDown: 'down' }

function placesOf(panels: readonly PanelModel[]): Placed[] {
  return panels.map(({ id, position }) => ({ id, ...position }))
}

/** The grid while it is changed: drag panels by their heads and corners, or use the arrow keys on a handle. */
export default function EditBoard({ panels, values, range, place, actions }: Props) {
  const container = useRef<HTMLDivElement>(null)
  const { width } = useSize(container)
  const [said, setSaid] = useState('')
  useNonceOfDragging()
  const layout = useMemo<Layout>(
    () => placesOf(panels).map(({ id, x, y, w, h }) => ({ i: String(id), x, y, w, h, minW: LEAST_WIDTH, minH: LEAST_HEIGHT })),
    [panels],
  )
  const settled = (next: Layout) => place(next.map(({ i, x, y, w, h }) => ({ id: Number(i), x, y, w, h })))
  const key = (panel: PanelModel) => (event: KeyboardEvent) => {
    const direction = DIRECTIONS[event.key]
    if (!direction) return
    event.preventDefault()
    const next = (event.shiftKey ? resize : move)(placesOf(panels), panel.id, direction)
    place(next)
    const at = next.find((one) => one.id === panel.id)
    if (at) setSaid(spoken(panel.title, at))
  }
  return (
    <div ref={container} className="dash-edit">
      <p id="dash-keys" className="faint small">
        Drag panels by their titles and lower right corners. With the keyboard: arrow keys on a panel’s handle move it, Shift and arrow keys resize it.
      </p>
      <div className="hidden-visually" role="status" aria-live="polite">
        {said}
      </div>
      {width > 0 ? (
        <GridLayout
          width={width}
          layout={layout}
          gridConfig={GRID}
          dragConfig={{ enabled: true, bounded: false, handle: '.panel-head', cancel: '.dash-head-links, .button', threshold: 3 }}
          resizeConfig={{ enabled: true, handles: ['se'] }}
          compactor={verticalCompactor}
          onDragStop={settled}
          onResizeStop={settled}
        >
          {panels.map((panel) => (
            <div key={String(panel.id)}>
              <PanelFrame shown={{ panel, key: String(panel.id), values }} actions={actions(panel)} onHandleKey={key(panel)}>
                <PanelBody panel={panel} values={values} range={range} />
              </PanelFrame>
            </div>
          ))}
        </GridLayout>
      ) : null}
    </div>
  )
}

/** What drags adds a <style> element while it does so; it takes the page's nonce from this global. */
function useNonceOfDragging(): void {
  useEffect(() => {
    const place = globalThis as { __webpack_nonce__?: string }
    place.__webpack_nonce__ = styleNonce()
    return () => {
      delete place.__webpack_nonce__
    }
  }, [])
}
