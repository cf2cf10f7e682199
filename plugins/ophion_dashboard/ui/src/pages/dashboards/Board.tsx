import type { CSSProperties } from 'react'
import type { Action } from '@/components/Menu'
import type { Range } from '@/lib/time'
import type { Shown } from './model/repeat'
import type { PanelData } from './panels/data'
import { PanelBody } from './panels/PanelBody'
import { PanelFrame } from './panels/PanelFrame'

interface Props {
  shown: readonly Shown[]
  range: Range
  actions?: (shown: Shown) => Action[]
  frozen?: (key: string) => PanelData | undefined
}

/** The panels on their grid, to be looked at; on a phone one below the other. */
export function Board({ shown, range, actions, frozen }: Props) {
  const ordered = [...shown].sort((left, right) => left.panel.position.y - right.panel.position.y || left.panel.position.x - right.panel.position.x)
  return (
    <div className="dash-board">
      {ordered.map((one) => {
        const { x, y, w, h } = one.panel.position
        const style = { '--x': x + 1, '--y': y + 1, '--w': w, '--h': h } as CSSProperties
        return (
          <div key={one.key} className="dash-cell" style={style}>
            <PanelFrame shown={one} actions={actions?.(one)}>
              <PanelBody panel={one.panel} values={one.values} range={range} frozen={frozen?.(one.key)} />
            </PanelFrame>
          </div>
        )
      })}
    </div>
  )
}
