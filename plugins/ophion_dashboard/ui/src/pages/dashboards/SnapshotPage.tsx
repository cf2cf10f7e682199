import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { useMemo } from 'react'
import { Badge } from '@/components/Badge'
import { Page } from '@/components/Page'
import { Loaded } from '@/components/States'
import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'
import { Board } from './Board'
import './dashboards.css'
import { FrozenTime } from './FrozenTime'
import { snapshot } from './model/api'
import { unfolded } from './model/repeat'
import type { Snapshot } from './model/types'
import { ALL, type Values } from './model/variables'
import type { PanelData } from './panels/data'

/** A dashboard with the data of one moment: nothing is asked, nothing moves. */
export default function SnapshotPage() {
  const { id } = useParams({ from: '/snapshots/$id' })
  const query = useQuery({ queryKey: ['snapshot', id], queryFn: ({ signal }) => snapshot(id, signal), staleTime: Infinity })
  return query.data ? (
    <Frozen snapshot={query.data} />
  ) : (
    <Page title="Snapshot">
      <Loaded query={query} height={320}>
        {() => null}
      </Loaded>
    </Page>
  )
}

function Frozen({ snapshot: kept }: { snapshot: Snapshot }) {
  const { zone } = useTime()
  const range = useMemo(() => ({ start: Date.parse(kept.start), end: Date.parse(kept.end) }), [kept])
  const shown = useMemo(() => {
    const values: Values = new Map(kept.dashboard.variables.map((variable) => [variable.name, { variable, values: kept.variables[variable.name] ?? [ALL] }]))
    // All values of a variable are those whose panels were kept.
    const offered = (name: string) => {
      const ids = kept.dashboard.panels.filter((panel) => panel.repeat === name).map((panel) => `${panel.id}:`)
      const keys = Object.keys(kept.data).filter((key) => ids.some((id) => key.startsWith(id)))
      return [...new Set(keys.map((key) => key.slice(key.indexOf(':') + 1)))]
    }
    return unfolded(kept.dashboard.panels, values, offered)
  }, [kept])
  return (
    <Page
      title={kept.title}
      crumbs="Snapshot"
      beside={<Badge tone="info">frozen: data of {`${clock(range.start, zone)} to ${clock(range.end, zone)}`}</Badge>}
      actions={
        <span className="faint small">
          made by {kept.created_by}, kept until {clock(Date.parse(kept.expires_at), zone)}
        </span>
      }
    >
      <FrozenTime range={range}>
        <Board shown={shown} range={range} frozen={(key) => (kept.data[key] as PanelData | undefined) ?? NOTHING} />
      </FrozenTime>
    </Page>
  )
}

const NOTHING: PanelData = { kind: 'series', outcomes: [], step: 60 }
