/** A dashboard as the API takes and gives it. */

export const PANEL_KINDS = ['timeseries', 'stat', 'gauge', 'bar', 'table', 'heatmap', 'logs', 'traces', 'text'] as const
export type PanelKind = (typeof PANEL_KINDS)[number]

export const KIND_NAMES: Record<PanelKind, string> = {
  timeseries: 'Time series',
  stat: 'Single value',
  gauge: 'Gauge',
  bar: 'Bars',
  table: 'Table',
  heatmap: 'Heat map',
  logs: 'Logs',
  traces: 'Traces',
  text: 'Text',
}

export interface Position {
  x: number
  y: number
  w: number
  h: number
}

export interface PanelQuery {
  kind: 'promql' | 'logs' | 'traces'
  expression: string
  legend: string
}

export interface Threshold {
  /** Null for below all others. */
  value: number | null
  color: string
}

export interface PanelLink {
  title: string
  url: string
}

export const REDUCTIONS = ['last', 'mean', 'min', 'max', 'sum'] as const
export type Reduction = (typeof REDUCTIONS)[number]

export interface PanelOptions {
  unit: string
  decimals: number | null
  min: number | null
  max: number | null
  thresholds: Threshold[]
  stacking: 'none' | 'normal' | 'percent'
  fill: number
  legend: 'hidden' | 'list' | 'table'
  nulls: 'gap' | 'connect' | 'zero'
  reduce: Reduction
  limit: number
  links: PanelLink[]
}

export interface PanelModel {
  id: number
  title: string
  description: string
  kind: PanelKind
  position: Position
  queries: PanelQuery[]
  text: string
  options: PanelOptions
  repeat: string | null
}

export const VARIABLE_KINDS = ['query', 'custom', 'text', 'interval'] as const
export type VariableKind = (typeof VARIABLE_KINDS)[number]

export interface Variable {
  name: string
  label: string
  kind: VariableKind
  query: string
  values: string[]
  multi: boolean
  include_all: boolean
  default: string[]
}

export interface DashboardModel {
  title: string
  description: string
  tags: string[]
  folder: string
  variables: Variable[]
  time: { from: string; to: string }
  refresh: string | null
  panels: PanelModel[]
}

export interface DashboardSummary {
  uid: string
  title: string
  description: string
  folder: string
  tags: string[]
  panels: number
  version: number
  provisioned: boolean
  file: string
  starred: boolean
  created_at: string
  created_by: string
  updated_at: string
  updated_by: string
}

export interface SavedDashboard extends DashboardSummary {
  may_edit: boolean
  may_delete: boolean
  dashboard: DashboardModel
}

export interface VersionSummary {
  version: number
  message: string
  saved_at: string
  saved_by: string
}

export interface SnapshotSummary {
  id: string
  title: string
  size: number
  created_at: string
  created_by: string
  expires_at: string
}

export interface Snapshot extends SnapshotSummary {
  dashboard: DashboardModel
  start: string
  end: string
  variables: Record<string, string[]>
  data: Record<string, unknown>
}

export const COLUMNS = 24

export const NO_OPTIONS: PanelOptions = {
  unit: '',
  decimals: null,
  min: null,
  max: null,
  thresholds: [],
  stacking: 'none',
  fill: 0,
  legend: 'list',
  nulls: 'gap',
  reduce: 'last',
  limit: 100,
  links: [],
}

export const NO_DASHBOARD: DashboardModel = {
  title: 'New dashboard',
  description: '',
  tags: [],
  folder: '',
  variables: [],
  time: { from: 'now-1h', to: 'now' },
  refresh: null,
  panels: [],
}

const SIZES: Partial<Record<PanelKind, [number, number]>> = { stat: [6, 5], gauge: [6, 7], text: [12, 4], logs: [24, 9], traces: [24, 9] }

/** Return the kind of the questions that a kind of panel asks. */
export function queryKind(kind: PanelKind): PanelQuery['kind'] {
  return kind === 'logs' || kind === 'traces' ? kind : 'promql'
}

export function newPanel(id: number, kind: PanelKind, title: string): PanelModel {
  const [w, h] = SIZES[kind] ?? [12, 8]
  return {
    id,
    title,
    description: '',
    kind,
    position: { x: 0, y: 0, w, h },
    queries: kind === 'text' ? [] : [{ kind: queryKind(kind), expression: '', legend: '' }],
    text: kind === 'text' ? 'Write **Markdown** here.' : '',
    options: { ...NO_OPTIONS },
    repeat: null,
  }
}

/** Return a panel as another kind: questions of another kind make room for one of its own. */
export function asKind(panel: PanelModel, kind: PanelKind): PanelModel {
  const asked = queryKind(kind)
  const fitting = panel.queries.filter((query) => query.kind === asked)
  const queries = kind === 'text' ? [] : fitting.length ? fitting : [{ kind: asked, expression: '', legend: '' }]
  return { ...panel, kind, queries, text: kind === 'text' ? panel.text || 'Write **Markdown** here.' : '' }
}

export function nextId(panels: readonly PanelModel[]): number {
  return panels.reduce((most, panel) => Math.max(most, panel.id), 0) + 1
}
