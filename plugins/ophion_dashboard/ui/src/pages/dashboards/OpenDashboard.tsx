import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useMemo } from 'react'
import { Badge } from '@/components/Badge'
import { Page } from '@/components/Page'
import { Empty, Skeleton } from '@/components/States'
import { useTime } from '@/shell/time'
import { Board } from './Board'
import type { OpenProps } from './DashboardPage'
import { EditActions } from './edit/EditActions'
import { Leaving } from './edit/Leaving'
import { compact, placeFor, type Placed } from './model/layout'
import { unfolded } from './model/repeat'
import { nextId, type PanelModel } from './model/types'
import { ACTION_NAMES } from './panels/PanelFrame'
import type { DashboardSearch } from './search'
import { Tv } from './Tv'
import { useDraft, type Draft } from './useDraft'
import { useVariables } from './useVariables'
import { VariableBar } from './VariableBar'
import { ViewActions } from './ViewActions'

const EditBoard = lazy(() => import('./edit/EditBoard'))
const PanelEditor = lazy(() => import('./edit/PanelEditor'))

/** A dashboard that is there: looked at, changed, or on a TV. */
export function OpenDashboard({ saved, model: known, older, mayEdit }: OpenProps) {
  const search = useSearch({ strict: false }) as DashboardSearch
  const navigate = useNavigate()
  const { range } = useTime()
  const draft = useDraft(known)
  const { model } = draft
  const variables = useVariables(model.variables, search, range)
  const setEdit = useCallback(
    (edit: string | undefined) => void navigate({ to: '.', search: ((before: object) => ({ ...before, edit })) as never }),
    [navigate],
  )
  const shown = useMemo(() => unfolded(model.panels, variables.values, (name) => variables.offered(name) ?? []), [model.panels, variables])
  const edit = mayEdit ? (search.edit ?? (saved ? undefined : 'true')) : undefined
  const panel = model.panels.find((one) => String(one.id) === edit)
  const isGrid = edit !== undefined && !panel

  if (search.tv) {
    return (
      <Tv title={model.title} uid={saved?.uid}>
        <VariableBar variables={model.variables} state={variables} />
        <Board shown={shown} range={range} />
      </Tv>
    )
  }
  if (panel) {
    return (
      <Suspense fallback={<Skeleton height={400} />}>
        <PanelEditor key={panel.id} panel={panel} variables={model.variables} values={variables.values} apply={draft.changePanel} close={() => setEdit('true')} title={model.title} />
        <Leaving isChanged={draft.isChanged} />
      </Suspense>
    )
  }
  return (
    <Page
      title={model.title}
      crumbs={<Crumbs folder={model.folder} />}
      beside={<Signs saved={saved} older={older} isChanged={draft.isChanged} tags={model.tags} />}
      actions={
        isGrid ? (
          <EditActions draft={draft} saved={saved} add={(made) => setEdit(addPanel(draft, made))} leave={() => setEdit(undefined)} />
        ) : (
          <ViewActions saved={saved} draft={draft} older={older} mayEdit={mayEdit} shown={shown} variables={variables} edit={() => setEdit('true')} />
        )
      }
    >
      <VariableBar variables={model.variables} state={variables} />
      {model.panels.length === 0 ? (
        <Empty title="No panels yet">{isGrid ? 'Add one: a chart, a number, a table, logs or traces.' : 'Edit the dashboard to add some.'}</Empty>
      ) : isGrid ? (
        <Suspense fallback={<Skeleton height={400} />}>
          <EditBoard panels={model.panels} values={variables.values} range={range} place={(places) => draft.change({ panels: placed(model.panels, places) })} actions={(one) => editActions(draft, one, setEdit)} />
        </Suspense>
      ) : (
        <Board shown={shown} range={range} actions={mayEdit ? (one) => [{ id: 'edit', name: ACTION_NAMES.edit, run: () => setEdit(String(one.panel.id)) }] : undefined} />
      )}
      <Leaving isChanged={draft.isChanged} />
    </Page>
  )
}

function placed(panels: readonly PanelModel[], places: readonly Placed[]): PanelModel[] {
  return panels.map((panel) => {
    const place = places.find((one) => one.id === panel.id)
    return place ? { ...panel, position: { x: place.x, y: place.y, w: place.w, h: place.h } } : panel
  })
}

function addPanel(draft: Draft, made: PanelModel): string {
  const { panels } = draft.model
  const id = nextId(panels)
  const position = placeFor(panels.map((one) => one.position), made.position)
  draft.change({ panels: [...panels, { ...made, id, position }] })
  return String(id)
}

function editActions(draft: Draft, panel: PanelModel, setEdit: (edit: string) => void) {
  const { panels } = draft.model
  const remove = () => {
    const left = panels.filter((one) => one.id !== panel.id)
    draft.change({ panels: placed(left, compact(left.map(({ id, position }) => ({ id, ...position })))) })
  }
  return [
    { id: 'edit', name: ACTION_NAMES.edit, run: () => setEdit(String(panel.id)) },
    { id: 'copy', name: ACTION_NAMES.copy, run: () => void addPanel(draft, panel) },
    { id: 'remove', name: ACTION_NAMES.remove, run: remove },
  ]
}

function Crumbs({ folder }: { folder: string }) {
  return (
    <>
      <Link to="/dashboards">Dashboards</Link>
      {folder ? ` / ${folder}` : ''}
    </>
  )
}

interface SignsProps {
  saved: OpenProps['saved']
  older?: number
  isChanged: boolean
  tags: readonly string[]
}

function Signs({ saved, older, isChanged, tags }: SignsProps) {
  return (
    <>
      {saved ? null : <Badge tone="warn">not saved yet</Badge>}
      {saved && isChanged ? <Badge tone="warn">changed</Badge> : null}
      {saved?.provisioned ? <Badge tone="info">from the file {saved.file}: change it there</Badge> : null}
      {older ? <Badge tone="info">version {older}</Badge> : null}
      {tags.map((tag) => (
        <Badge key={tag}>{tag}</Badge>
      ))}
    </>
  )
}
