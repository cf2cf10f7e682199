import { getRouteApi } from '@tanstack/react-router'
import { ArrowDownWideNarrow, ArrowUpNarrowWide, Radio, WrapText } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import { Toggle } from '@/components/Button'
import { Segments, SelectField } from '@/components/Choice'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { useTime } from '@/shell/time'
import { Chips } from './Chips'
import { ExportMenu } from './ExportMenu'
import { LogFacets } from './LogFacets'
import { LogHistogram } from './LogHistogram'
import { Records } from './Records'
import { TailRecords } from './TailRecords'
import { filters as filtersOf, withTerm } from './query'
import { MIN_LEVELS, type LogsSearch, type MinLevel } from './search'
import './logs.css'

const route = getRouteApi('/logs')
const LEVEL_CHOICES = [['', 'All levels'], ...MIN_LEVELS.map((level) => [level, `${level} and above`] as const)] as const

export type SetSearch = (change: Partial<LogsSearch>) => void

export default function LogsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { range } = useTime()
  const filters = useMemo(() => filtersOf(search), [search])
  const set = useCallback<SetSearch>(
    (change) => void navigate({ search: (before) => ({ ...before, ...change }), replace: 'record' in change }),
    [navigate],
  )
  const setText = useCallback((q: string) => set({ q: q || undefined, record: undefined }), [set])
  const narrow = useCallback((added: string, without?: boolean) => set({ q: withTerm(search.q ?? '', added, without), record: undefined }), [set, search.q])

  return (
    <Page title="Logs" actions={<ExportMenu range={range} filters={filters} order={search.order} />}>
      <div className="row wrap">
        <SearchField main label="Search logs" placeholder={'timeout -retry "connection refused" http.status_code>=500'} value={search.q ?? ''} set={setText} />
        <SelectField hidden label="Lowest level" value={search.level ?? ''} choices={LEVEL_CHOICES} set={(level) => set({ level: (level || undefined) as MinLevel | undefined })} />
        <Segments
          label="Show"
          value={search.view ?? 'lines'}
          choices={[['lines', 'Lines'], ['patterns', 'Patterns']] as const}
          set={(view) => set({ view: view === 'patterns' ? view : undefined })}
        />
        <Toggle label="Oldest first" on={search.order === 'oldest'} set={(on) => set({ order: on ? 'oldest' : undefined })}>
          {search.order ? <ArrowUpNarrowWide size={15} aria-hidden /> : <ArrowDownWideNarrow size={15} aria-hidden />}
        </Toggle>
        <Toggle label="Wrap lines" on={Boolean(search.wrap)} set={(on) => set({ wrap: on || undefined })}>
          <WrapText size={15} aria-hidden />
        </Toggle>
        <Toggle label="Live tail" on={Boolean(search.live)} set={(on) => set({ live: on || undefined, record: undefined })}>
          <Radio size={15} aria-hidden /> Live
        </Toggle>
      </div>
      <Chips search={search} set={set} />
      {search.live ? null : <LogHistogram range={range} filters={filters} />}
      <div className="logs-body">
        <LogFacets range={range} search={search} set={set} />
        {search.live ? <TailRecords filters={filters} search={search} set={set} narrow={narrow} /> : <Records range={range} filters={filters} search={search} set={set} narrow={narrow} />}
      </div>
    </Page>
  )
}
