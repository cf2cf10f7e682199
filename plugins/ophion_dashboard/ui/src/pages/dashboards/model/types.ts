/** A dashboard as the API takes and gives it. */
import type {
  SchemaDashboard,
  SchemaDashboardVariable,
  SchemaPanel,
  SchemaPanelLink,
  SchemaPanelOptions,
  SchemaPanelPosition,
  SchemaPanelQuery,
  SchemaPanelThreshold,
} from '@/api/client'

export type {
  SchemaDashboardAnswer as SavedDashboard,
  SchemaDashboardSummary as DashboardSummary,
  SchemaSnapshotAnswer as Snapshot,
  SchemaVersionSummary as VersionSummary,
} from '@/api/client'
export type DashboardModel = SchemaDashboard
export type PanelModel = SchemaPanel
export type PanelKind = PanelModel['kind']
export type PanelLink = SchemaPanelLink
export type PanelOptions = SchemaPanelOptions
export type PanelQuery = SchemaPanelQuery
export type Position = SchemaPanelPosition
export type Reduction = PanelOptions['reduce']
export type Threshold = SchemaPanelThreshold
export type Variable = SchemaDashboardVariable
export type VariableKind = Variable['kind']

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

export const PANEL_KINDS = Object.keys(KIND_NAMES) as PanelKind[]
export const REDUCTIONS = ['last', 'mean', 'min', 'max', 'sum'] as const satisfies readonly Reduction[]
export const VARIABLE_KINDS = ['query', 'custom', 'text', 'interval'] as const satisfies readonly VariableKind[]

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

export const MOST_TITLE = 200

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
