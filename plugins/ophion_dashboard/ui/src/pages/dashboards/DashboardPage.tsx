import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useEffect, useMemo, useRef } from 'react'
import { Page } from '@/components/Page'
import { Failure, Skeleton } from '@/components/States'
import { useSession } from '@/shell/session'
import './dashboards.css'
import { shown, templates, version } from './model/api'
import { refreshSeconds, toUrl } from './model/time'
import { MOST_TITLE, NO_DASHBOARD, type DashboardModel, type SavedDashboard } from './model/types'
import { OpenDashboard } from './OpenDashboard'
import type { DashboardSearch } from './search'

/** A dashboard: saved, or about to be. */
export default function DashboardPage() {
  const { uid } = useParams({ from: '/dashboards/$uid' })
  const search = useSearch({ from: '/dashboards/$uid' }) as DashboardSearch
  if (uid !== 'new') return <SavedOne uid={uid} number={search.version} />
  return search.copy ? <Copied uid={search.copy} number={search.version} /> : <NewDashboard template={search.template} />
}

function NewDashboard({ template }: { template?: string }) {
  const { may } = useSession()
  const known = useQuery({ queryKey: ['dashboards', 'templates'], queryFn: ({ signal }) => templates(signal), enabled: template !== undefined, staleTime: Infinity })
  const model = useMemo<DashboardModel>(() => {
    const found = known.data?.find((one) => one.name === template)?.dashboard
    return found ? { ...found, folder: '' } : NO_DASHBOARD
  }, [known.data, template])
  if (template && known.error) return <Broken error={known.error} />
  if (template && !known.data) return <Waiting />
  return <Timed key={template ?? ''} saved={null} model={model} mayEdit={may('operate')} />
}

function Copied({ uid, number }: { uid: string; number?: number }) {
  const { may } = useSession()
  const { model, error } = useSaved(uid, number)
  const copy = useMemo(() => model && { ...model, title: `Copy of ${model.title}`.slice(0, MOST_TITLE) }, [model])
  if (!copy) return error ? <Broken error={error} /> : <Waiting />
  return <Timed key={`${uid} ${number ?? ''}`} saved={null} model={copy} mayEdit={may('operate')} />
}

function SavedOne({ uid, number }: { uid: string; number?: number }) {
  const { saved, model, error } = useSaved(uid, number)
  if (!saved || !model) return error ? <Broken error={error} /> : <Waiting />
  return <Timed key={`${uid} ${number ?? ''}`} saved={saved} model={model} older={number} mayEdit={saved.may_edit && number === undefined} />
}

/** A saved dashboard, and what it says; with a number: what that version said. */
function useSaved(uid: string, number: number | undefined) {
  const known = useQuery({ queryKey: ['dashboard', uid], queryFn: ({ signal }) => shown(uid, signal), staleTime: 30_000, placeholderData: undefined })
  const older = useQuery({
    queryKey: ['dashboard', uid, 'version', number],
    queryFn: ({ signal }) => version(uid, number ?? 0, signal),
    enabled: number !== undefined,
    staleTime: Infinity,
    placeholderData: undefined,
  })
  const model: DashboardModel | undefined = number === undefined ? known.data?.dashboard : older.data?.dashboard
  return { saved: known.data, model, error: known.error ?? older.error }
}

export interface OpenProps {
  saved: SavedDashboard | null
  model: DashboardModel
  /** The number of an older version that is looked at. */
  older?: number
  mayEdit: boolean
}

/** Takes the dashboard's own time and refresh where the URL says nothing of them. */
function Timed(props: OpenProps) {
  const search = useSearch({ strict: false }) as { from?: string; to?: string; refresh?: number }
  const navigate = useNavigate()
  const isSet = useRef(false)
  const { time, refresh } = props.model
  useEffect(() => {
    if (isSet.current) return
    isSet.current = true
    const seconds = refreshSeconds(refresh)
    const change: Record<string, unknown> = {}
    if (!search.from && !search.to && (time.from !== 'now-1h' || time.to !== 'now')) {
      change.from = toUrl(time.from, Date.now())
      change.to = toUrl(time.to, Date.now())
    }
    if (search.refresh === undefined && seconds > 0 && seconds !== 30) change.refresh = seconds
    if (Object.keys(change).length) void navigate({ to: '.', replace: true, search: ((before: object) => ({ ...before, ...change })) as never })
  }, [search, time, refresh, navigate])
  return <OpenDashboard {...props} />
}

function Broken({ error }: { error: Error }) {
  return (
    <Page title="Dashboard">
      <Failure error={error} />
    </Page>
  )
}

function Waiting() {
  return (
    <Page title="Dashboard">
      <Skeleton height={160} />
      <Skeleton height={300} />
    </Page>
  )
}
