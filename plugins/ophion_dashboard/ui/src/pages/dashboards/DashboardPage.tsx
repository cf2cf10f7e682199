import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useEffect, useMemo, useRef } from 'react'
import { Page } from '@/components/Page'
import { Failure, Skeleton } from '@/components/States'
import { useSession } from '@/shell/session'
import './dashboards.css'
import { shown, templates, version } from './model/api'
import { refreshSeconds, toUrl } from './model/time'
import { NO_DASHBOARD, type DashboardModel, type SavedDashboard } from './model/types'
import { OpenDashboard } from './OpenDashboard'
import type { DashboardSearch } from './search'

/** A dashboard: saved, or about to be. */
export default function DashboardPage() {
  const { uid } = useParams({ from: '/dashboards/$uid' })
  const search = useSearch({ from: '/dashboards/$uid' }) as DashboardSearch
  return uid === 'new' ? <NewDashboard template={search.template} /> : <SavedOne uid={uid} number={search.version} />
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

function SavedOne({ uid, number }: { uid: string; number?: number }) {
  const known = useQuery({ queryKey: ['dashboard', uid], queryFn: ({ signal }) => shown(uid, signal), staleTime: 30_000, placeholderData: undefined })
  const older = useQuery({
    queryKey: ['dashboard', uid, 'version', number],
    queryFn: ({ signal }) => version(uid, number ?? 0, signal),
    enabled: number !== undefined,
    staleTime: Infinity,
    placeholderData: undefined,
  })
  const error = known.error ?? older.error
  if (error && !known.data) return <Broken error={error} />
  if (!known.data || (number !== undefined && !older.data)) return older.error ? <Broken error={older.error} /> : <Waiting />
  const isOlder = number !== undefined && older.data !== undefined
  return (
    <Timed
      key={`${uid} ${isOlder ? number : ''}`}
      saved={known.data}
      model={isOlder ? older.data.dashboard : known.data.dashboard}
      older={isOlder ? number : undefined}
      mayEdit={known.data.may_edit && !isOlder}
    />
  )
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
