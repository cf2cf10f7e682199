import { SelectField, Segments } from '@/components/Choice'
import { Toggle } from '@/components/Button'
import type { MetricsSearch } from './search'

interface DrawnProps {
  search: MetricsSearch
  change: (part: Partial<MetricsSearch>) => void
}

interface Props extends DrawnProps {
  /** Seconds, as chosen or worked out. */
  step: number
}

const STEPS = ['5s', '10s', '15s', '30s', '1m', '2m', '5m', '10m', '30m', '1h', '6h', '1d'] as const

/** When, and how often, the queries are evaluated. */
export function Options({ search, change, step }: Props) {
  const steps = search.step && !(STEPS as readonly string[]).includes(search.step) ? [search.step, ...STEPS] : STEPS
  return (
    <div className="row wrap metrics-options">
      <Segments
        label="When"
        value={search.instant ? 'instant' : 'range'}
        choices={[['range', 'Range'], ['instant', 'Instant']] as const}
        set={(when) => change({ instant: when === 'instant' || undefined })}
      />
      {search.instant ? null : (
        <SelectField
          label="Step"
          hidden
          value={search.step ?? ''}
          choices={[['', `Step: auto (${stepName(step)})`] as const, ...steps.map((one) => [one, `Step: ${one}`] as const)]}
          set={(chosen) => change({ step: chosen || undefined })}
        />
      )}
    </div>
  )
}

function stepName(seconds: number): string {
  if (seconds < 60) return `${seconds}s`
  return seconds < 3600 ? `${seconds / 60}m` : `${seconds / 3600}h`
}

/** How the answer is drawn. */
export function DrawnOptions({ search, change }: DrawnProps) {
  const isChart = search.view !== 'table'
  return (
    <>
      {isChart ? (
        <>
          <Segments
            label="Drawn as"
            value={search.drawn ?? 'line'}
            choices={[['line', 'Lines'], ['area', 'Area'], ['bars', 'Bars']] as const}
            set={(drawn) => change({ drawn: drawn === 'line' ? undefined : drawn })}
          />
          <Toggle label="Stacked" on={Boolean(search.stacked)} set={(on) => change({ stacked: on || undefined })} />
          <Toggle label="Exemplars" on={Boolean(search.exemplars)} set={(on) => change({ exemplars: on || undefined })} />
        </>
      ) : null}
      <Segments
        label="View"
        value={search.view ?? 'chart'}
        choices={[['chart', 'Chart'], ['table', 'Table']] as const}
        set={(view) => change({ view: view === 'table' ? 'table' : undefined })}
      />
    </>
  )
}
