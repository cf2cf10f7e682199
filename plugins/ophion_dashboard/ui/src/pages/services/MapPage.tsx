import { useNavigate, useSearch } from '@tanstack/react-router'
import { lazy, Suspense, useCallback, useMemo } from 'react'
import type { SchemaServiceMap } from '@/api/client'
import { Toggle } from '@/components/Button'
import { Segments, SelectField } from '@/components/Choice'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded, Skeleton } from '@/components/States'
import { count } from '@/lib/format'
import { useMap } from './data'
import { MapTable } from './MapTable'
import { shownPart } from './mapModel'
import type { Depth, MapSearch } from './search'
import './services.css'
import './map.css'

const MapCanvas = lazy(() => import('./MapCanvas'))
const DEPTH_NAMES = [['1', '1 call'], ['2', '2'], ['3', '3'], ['all', 'All']] as const
const VIEWS = [['map', 'Map'], ['table', 'Table']] as const

export default function MapPage() {
  const search = useSearch({ from: '/map' })
  const navigate = useNavigate()
  const map = useMap(undefined, true)
  const change = useCallback(
    (next: Partial<MapSearch>, replace = false) => void navigate({ to: '.', search: ((before: object) => ({ ...before, ...next })) as never, replace }),
    [navigate],
  )
  return (
    <Page title="Service map" beside={map.data ? <Sizes map={map.data} /> : null}>
      <Filters search={search} change={change} map={map.data} />
      <Panel flush className="map-panel">
        <Loaded
          query={map}
          height={480}
          isEmpty={(all) => all.nodes.length === 0}
          empty={<Empty title="No service has sent spans in this time range">The map is drawn from traces: point an OpenTelemetry SDK at <code>{location.hostname}:4317</code>.</Empty>}
        >
          {(all) => <Shown map={all} search={search} />}
        </Loaded>
      </Panel>
    </Page>
  )
}

function Sizes({ map }: { map: SchemaServiceMap }) {
  return (
    <span className="faint">
      {count(map.nodes.filter((node) => node.kind === 'service').length)} services, {count(map.edges.length)} calls
      {map.truncated ? ', and more' : ''}
      {map.sampled_one_in > 1 ? `; estimated from one in ${map.sampled_one_in} traces` : ''}
    </span>
  )
}

/** Return what a map can be drawn around. */
function namesOf(map: SchemaServiceMap | undefined, chosen: string | undefined): [string, string][] {
  const names = new Set(map?.nodes.filter((node) => node.kind === 'service').map((node) => node.name))
  if (chosen) names.add(chosen)
  return [['', 'Around all services'], ...[...names].sort().map((name): [string, string] => [name, `Around ${name}`])]
}

interface Props {
  search: MapSearch
  change: (next: Partial<MapSearch>, replace?: boolean) => void
}

function Filters({ search, change, map }: Props & { map: SchemaServiceMap | undefined }) {
  const names = useMemo(() => namesOf(map, search.service), [map, search.service])
  const find = useCallback((text: string) => change({ search: text || undefined }, true), [change])
  return (
    <div className="services-filters">
      <SearchField main label="Find in the map" value={search.search ?? ''} set={find} />
      <SelectField hidden label="Around" value={search.service ?? ''} choices={names} set={(service) => change({ service: service || undefined, depth: undefined })} />
      {search.service ? <Segments label="How many calls away" value={search.depth ?? '1'} choices={DEPTH_NAMES} set={(depth: Depth) => change({ depth })} /> : null}
      <div className="grow" />
      <Toggle label="Databases and queues" on={!search.plain} set={(on) => change({ plain: on ? undefined : true })} />
      <Segments label="Shown as" value={search.view ?? 'map'} choices={VIEWS} set={(view: 'map' | 'table') => change({ view: view === 'table' ? view : undefined })} />
    </div>
  )
}

function Shown({ map, search }: { map: SchemaServiceMap; search: MapSearch }) {
  const { service, depth, plain, view } = search
  const graph = useMemo(() => shownPart(map, { service, depth, plain }), [map, service, depth, plain])
  if (graph.nodes.length === 0) return <Empty title={`${service ?? ''} is not in the map of this time range`}>Choose a longer time range, or show all services.</Empty>
  if (view === 'table') return <MapTable graph={graph} find={search.search ?? ''} />
  return (
    <Suspense fallback={<Skeleton height={480} />}>
      <MapCanvas graph={graph} find={search.search ?? ''} middle={service} />
    </Suspense>
  )
}
