import { useQuery } from '@tanstack/react-query'
import { Plus, X } from 'lucide-react'
import { useMemo } from 'react'
import { IconButton } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { NameField, type Choice } from './NameField'
import { AGGREGATIONS, EMPTY, OPERATORS, OVER_TIME, startingPoint, type Aggregation, type Built, type Filter, type Operator, type OverTime } from './promql/model'
import { labelNamesQuery, labelValuesQuery, useMetadata } from './promql/source'
import { metadataOf } from './promql/units'

interface Props {
  letter: string
  built: Built
  set: (built: Built) => void
}

const QUANTILES = ['', '0.5', '0.75', '0.9', '0.95', '0.99', '0.999'] as const
const WINDOWS = ['1m', '2m', '5m', '10m', '30m', '1h', '6h', '1d'] as const

/** A query put together from a metric, filters and what is done with them. */
export function Builder({ letter, built, set }: Props) {
  return (
    <div className="metrics-builder" role="group" aria-label={`Builder of query ${letter}`}>
      <MetricChoice built={built} set={set} />
      <Filters built={built} set={set} />
      <Functions built={built} set={set} />
    </div>
  )
}

type PartProps = Omit<Props, 'letter'>

function MetricChoice({ built, set }: PartProps) {
  const metadata = useMetadata()
  const names = useQuery(labelValuesQuery('__name__'))
  const choices = useMemo<Choice[]>(
    () => (names.data ?? []).map((name) => ({ name, note: note(metadataOf(name, metadata)) })),
    [names.data, metadata],
  )
  const known = metadataOf(built.metric, metadata)
  const choose = (metric: string) => set(metric ? startingPoint(metric, metadataOf(metric, metadata)?.type ?? '', built.window) : EMPTY)
  return (
    <div className="metrics-line">
      <span className="metrics-word">Metric</span>
      <div className="metrics-metric">
        <NameField label="Metric" value={built.metric} set={choose} choices={choices} placeholder="Search a metric" />
        {known ? <span className="faint small">{[known.type, known.unit, known.help].filter(Boolean).join(' · ')}</span> : null}
      </div>
    </div>
  )
}

function note(known: { type: string; unit: string } | undefined): string {
  return known ? [known.type, known.unit].filter(Boolean).join(' · ') : ''
}

function Filters({ built, set }: PartProps) {
  const names = useQuery({ ...labelNamesQuery(built.metric), enabled: built.metric !== '' })
  const labels = useMemo<Choice[]>(() => (names.data ?? []).filter((name) => name !== '__name__').map((name) => ({ name })), [names.data])
  const change = (at: number, filter: Filter | null) =>
    set({ ...built, filters: built.filters.flatMap((one, index) => (index === at ? (filter ? [filter] : []) : [one])) })
  return (
    <div className="metrics-line">
      <span className="metrics-word">Where</span>
      <div className="metrics-filters">
        {built.filters.map((filter, index) => (
          <FilterFields key={index} metric={built.metric} filter={filter} labels={labels} set={(next) => change(index, next)} />
        ))}
        <IconButton label="Add a filter" onPress={() => set({ ...built, filters: [...built.filters, { label: '', operator: '=', value: '' }] })} isDisabled={!built.metric}>
          <Plus size={14} aria-hidden />
        </IconButton>
      </div>
    </div>
  )
}

interface FilterProps {
  metric: string
  filter: Filter
  labels: readonly Choice[]
  set: (filter: Filter | null) => void
}

function FilterFields({ metric, filter, labels, set }: FilterProps) {
  const values = useQuery({ ...labelValuesQuery(filter.label, metric), enabled: filter.label !== '' })
  const choices = useMemo<Choice[]>(() => (values.data ?? []).map((name) => ({ name })), [values.data])
  return (
    <div className="metrics-filter">
      <NameField label="Label" value={filter.label} set={(label) => set({ ...filter, label, value: '' })} choices={labels} />
      <SelectField
        label="Comparison"
        hidden
        value={filter.operator}
        choices={OPERATORS.map((one) => [one, one] as const)}
        set={(operator) => set({ ...filter, operator: operator as Operator })}
      />
      <NameField label="Value" value={filter.value} set={(value) => set({ ...filter, value })} choices={choices} />
      <IconButton label={`Remove the filter ${filter.label}`} onPress={() => set(null)}>
        <X size={13} aria-hidden />
      </IconButton>
    </div>
  )
}

const OVER_TIME_NAMES: Record<OverTime, string> = {
  '': 'as it is',
  rate: 'rate per second',
  irate: 'rate of the last two',
  increase: 'increase',
  delta: 'difference',
  avg_over_time: 'mean over time',
  min_over_time: 'least over time',
  max_over_time: 'most over time',
  sum_over_time: 'sum over time',
}

function Functions({ built, set }: PartProps) {
  const metadata = useMetadata()
  const names = useQuery({ ...labelNamesQuery(built.metric), enabled: built.metric !== '' })
  const isBuckets = metadataOf(built.metric, metadata)?.type === 'histogram' && built.metric.endsWith('_bucket')
  const windows = (WINDOWS as readonly string[]).includes(built.window) ? WINDOWS : [built.window, ...WINDOWS]
  return (
    <div className="metrics-line">
      <span className="metrics-word">Show</span>
      <div className="metrics-functions">
        <SelectField
          label="Over time"
          hidden
          value={built.overTime}
          choices={OVER_TIME.map((one) => [one, OVER_TIME_NAMES[one]] as const)}
          set={(overTime) => set({ ...built, overTime, quantile: overTime ? built.quantile : undefined })}
        />
        {built.overTime ? (
          <SelectField label="Window" hidden value={built.window} choices={windows.map((one) => [one, one] as const)} set={(window) => set({ ...built, window })} />
        ) : null}
        {isBuckets && built.overTime ? (
          <SelectField
            label="Quantile"
            hidden
            value={built.quantile === undefined ? '' : String(built.quantile)}
            choices={quantiles(built.quantile).map((one) => [one, one ? `quantile ${one}` : 'no quantile'] as const)}
            set={(quantile) => set({ ...built, quantile: quantile ? Number(quantile) : undefined, aggregation: '' })}
          />
        ) : null}
        {built.quantile === undefined ? (
          <SelectField
            label="Aggregation"
            hidden
            value={built.aggregation}
            choices={AGGREGATIONS.map((one) => [one, one || 'each series'] as const)}
            set={(aggregation) => set({ ...built, aggregation: aggregation as Aggregation, by: aggregation ? built.by : [] })}
          />
        ) : null}
        {built.aggregation || built.quantile !== undefined ? <By built={built} set={set} labels={names.data ?? []} /> : null}
      </div>
    </div>
  )
}

function quantiles(chosen: number | undefined): string[] {
  const text = chosen === undefined ? '' : String(chosen)
  return (QUANTILES as readonly string[]).includes(text) ? [...QUANTILES] : [...QUANTILES, text]
}

function By({ built, set, labels }: PartProps & { labels: readonly string[] }) {
  const choices = labels.filter((name) => name !== '__name__' && name !== 'le' && !built.by.includes(name)).map((name) => ({ name }))
  return (
    <>
      <span className="faint small">by</span>
      {built.by.map((label) => (
        <span key={label} className="badge">
          {label}
          <button type="button" className="metrics-drop" aria-label={`Do not group by ${label}`} onClick={() => set({ ...built, by: built.by.filter((one) => one !== label) })}>
            <X size={11} aria-hidden />
          </button>
        </span>
      ))}
      <NameField label="Group by" value="" set={(label) => label && set({ ...built, by: [...built.by, label] })} choices={choices} placeholder="label" />
    </>
  )
}
