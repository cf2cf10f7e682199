/** Panels that are shown once for each value of a variable. */
import { compact } from './layout'
import { COLUMNS, type PanelModel } from './types'
import { ALL, type Values } from './variables'

export interface Shown {
  panel: PanelModel
  /** Tells it from the others on the page, repeated ones too. */
  key: string
  values: Values
}

const MOST = 40

/** Return the panels as they stand on the page; `offered` are all values of a variable. */
export function unfolded(panels: readonly PanelModel[], values: Values, offered: (name: string) => readonly string[]): Shown[] {
  const shown = panels.flatMap((panel) => (panel.repeat ? repeated(panel, panel.repeat, values, offered) : [{ panel, key: String(panel.id), values }]))
  const places = compact(shown.map(({ panel }, index) => ({ ...panel.position, id: index })))
  return shown.map((one, index) => {
    const { x, y, w, h } = places[index] ?? one.panel.position
    return { ...one, panel: { ...one.panel, position: { x, y, w, h } } }
  })
}

function repeated(panel: PanelModel, name: string, values: Values, offered: (name: string) => readonly string[]): Shown[] {
  const chosen = values.get(name)
  if (!chosen) return [{ panel, key: String(panel.id), values }]
  const each = chosen.values[0] === ALL ? offered(name) : chosen.values
  const { x, y, w, h } = panel.position
  const perRow = Math.max(1, Math.floor((COLUMNS - x) / w))
  return each.slice(0, MOST).map((value, index) => ({
    panel: { ...panel, position: { x: x + (index % perRow) * w, y: y + Math.floor(index / perRow) * h, w, h } },
    key: `${panel.id}:${value}`,
    values: new Map([...values, [name, { variable: chosen.variable, values: [value] }]]),
  }))
}
