import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Plus, Star, Upload } from 'lucide-react'
import { lazy, Suspense, useCallback, useMemo, useState } from 'react'
import { Badge } from '@/components/Badge'
import { Button, Toggle } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { ago } from '@/lib/time'
import { useSession } from '@/shell/session'
import { useTime } from '@/shell/time'
import './dashboards.css'
import { listed, starred, templates } from './model/api'
import type { DashboardSummary } from './model/types'
import type { DashboardsSearch } from './search'

const ImportDialog = lazy(() => import('./dialogs/ImportDialog'))

export default function DashboardsPage() {
  const search = useSearch({ from: '/dashboards' }) as DashboardsSearch
  const navigate = useNavigate()
  const { may } = useSession()
  const [isImporting, setImporting] = useState(false)
  const all = useQuery({ queryKey: ['dashboards', 'list'], queryFn: ({ signal }) => listed(signal) })
  const change = useCallback(
    (part: DashboardsSearch) => void navigate({ to: '.', replace: true, search: ((before: object) => ({ ...before, ...part })) as never }),
    [navigate],
  )
  const setSearch = useCallback((text: string) => change({ search: text || undefined }), [change])
  const actions = may('operate') ? (
    <>
      <Button onPress={() => setImporting(true)}>
        <Upload size={14} aria-hidden /> Import YAML
      </Button>
      <Button kind="primary" onPress={() => void navigate({ to: '/dashboards/$uid', params: { uid: 'new' } })}>
        <Plus size={14} aria-hidden /> New dashboard
      </Button>
    </>
  ) : null
  return (
    <Page title="Dashboards" actions={actions}>
      <div className="row wrap">
        <SearchField main label="Search dashboards" value={search.search ?? ''} set={setSearch} />
        <Toggle label="Starred" on={Boolean(search.starred)} set={(on) => change({ starred: on || undefined })}>
          <Star size={14} aria-hidden /> Starred
        </Toggle>
        <Tags all={all.data ?? []} chosen={search.tag ?? []} set={(tag) => change({ tag: tag.length ? tag : undefined })} />
      </div>
      <Panel flush>
        <Loaded query={all} height={220}>
          {(rows) => <List rows={rows} search={search} />}
        </Loaded>
      </Panel>
      {may('operate') ? <Templates /> : null}
      <Suspense>{isImporting ? <ImportDialog close={() => setImporting(false)} /> : null}</Suspense>
    </Page>
  )
}

function Tags({ all, chosen, set }: { all: readonly DashboardSummary[]; chosen: readonly string[]; set: (tags: string[]) => void }) {
  const tags = [...new Set([...all.flatMap((one) => one.tags), ...chosen])].sort().slice(0, 20)
  return (
    <div className="row wrap" role="group" aria-label="Tags">
      {tags.map((tag) => (
        <Toggle key={tag} label={`Tag ${tag}`} on={chosen.includes(tag)} set={(on) => set(on ? [...chosen, tag] : chosen.filter((one) => one !== tag))}>
          {tag}
        </Toggle>
      ))}
    </div>
  )
}

export function fits(one: DashboardSummary, { search, tag, starred: isStarred }: DashboardsSearch): boolean {
  const text = [one.title, one.description, one.folder, ...one.tags].join(' ').toLowerCase()
  const words = (search ?? '').toLowerCase().split(/\s+/)
  return words.every((word) => text.includes(word)) && (tag ?? []).every((name) => one.tags.includes(name)) && (!isStarred || one.starred)
}

function List({ rows, search }: { rows: readonly DashboardSummary[]; search: DashboardsSearch }) {
  const navigate = useNavigate()
  const { range } = useTime()
  const found = useMemo(() => rows.filter((one) => fits(one, search)), [rows, search])
  const columns = useMemo<Column<DashboardSummary>[]>(
    () => [
      { id: 'star', header: '', width: 44, cell: (row) => <StarButton row={row} /> },
      {
        id: 'title',
        header: 'Dashboard',
        sort: (row) => row.title,
        cell: (row) => (
          <Link to="/dashboards/$uid" params={{ uid: row.uid }} title={row.description}>
            {row.title}
          </Link>
        ),
      },
      { id: 'folder', header: 'Folder', sort: (row) => row.folder, cell: (row) => row.folder },
      {
        id: 'tags',
        header: 'Tags',
        cell: (row) => (
          <span className="row">
            {row.tags.map((tag) => (
              <Badge key={tag}>{tag}</Badge>
            ))}
            {row.provisioned ? <Badge tone="info">file</Badge> : null}
          </span>
        ),
      },
      { id: 'panels', header: 'Panels', number: true, sort: (row) => row.panels, cell: (row) => row.panels },
      { id: 'updated', header: 'Changed', sort: (row) => row.updated_at, cell: (row) => `${ago(Date.parse(row.updated_at), Math.max(range.end, Date.parse(row.updated_at)))} by ${row.updated_by || 'the file'}` },
    ],
    [range.end],
  )
  if (rows.length === 0) return <Empty title="No dashboards yet">Start from a template below, or make a new one. They can be kept as YAML files in git too.</Empty>
  if (found.length === 0) return <Empty title="No dashboard fits">Try fewer words or tags.</Empty>
  return (
    <DataTable
      label="Dashboards"
      columns={columns}
      rows={found}
      rowKey={(row) => row.uid}
      initialSort={{ id: 'title', down: false }}
      open={(row) => void navigate({ to: '/dashboards/$uid', params: { uid: row.uid } })}
    />
  )
}

function StarButton({ row }: { row: DashboardSummary }) {
  const client = useQueryClient()
  const say = useSay()
  const star = useMutation({
    mutationFn: () => starred(row.uid, !row.starred),
    onSuccess: () => client.invalidateQueries({ queryKey: ['dashboards'] }),
    onError: say.failed,
  })
  return (
    <button type="button" className="button icon quiet dash-star" aria-label={`Star ${row.title}`} aria-pressed={row.starred} onClick={() => star.mutate()}>
      <Star size={15} aria-hidden />
    </button>
  )
}

function Templates() {
  const all = useQuery({ queryKey: ['dashboards', 'templates'], queryFn: ({ signal }) => templates(signal), staleTime: Infinity })
  return (
    <Panel title="Start from a template">
      <Loaded query={all} height={100}>
        {(rows) => (
          <div className="dash-cards">
            {rows.map(({ name, dashboard }) => (
              <Link key={name} to="/dashboards/$uid" params={{ uid: 'new' }} search={{ template: name } as never} className="dash-card">
                <strong>
                  <span className="hidden-visually">Template </span>
                  {dashboard.title}
                </strong>
                <span className="quiet small">{dashboard.description.replaceAll('`', '')}</span>
                <span className="faint small">{dashboard.panels.length} panels</span>
              </Link>
            ))}
          </div>
        )}
      </Loaded>
    </Panel>
  )
}
