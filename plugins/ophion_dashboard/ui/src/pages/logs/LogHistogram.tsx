import { useMemo } from 'react'
import { TimeSeries } from '@/components/chart/TimeSeries'
import { Panel } from '@/components/Panel'
import { Loaded } from '@/components/States'
import { count } from '@/lib/format'
import type { Range } from '@/lib/time'
import type { SchemaLogHistogram } from '@/api/client'
import { useTheme } from '@/shell/theme'
import { levelColor } from './levels'
import type { Filters } from './query'
import { LEVELS } from './records'
import { useHistogram } from './useLogs'

/** Counts by level over the range; drag to zoom. */
export function LogHistogram({ range, filters }: { range: Range; filters: Filters }) {
  const query = useHistogram(range, filters)
  const total = query.data?.buckets.reduce((sum, bucket) => sum + bucket.total, 0)
  return (
    <Panel title={total === undefined ? 'Records' : `${count(total)} records`}>
      <Loaded query={query} height={96}>
        {(data) => <Bars data={data} />}
      </Loaded>
    </Panel>
  )
}

function Bars({ data }: { data: SchemaLogHistogram }) {
  const { dark } = useTheme()
  const lines = useMemo(() => {
    const present = LEVELS.filter((level) => data.buckets.some((bucket) => bucket.counts[level])).reverse()
    return present.map((level) => ({
      key: level,
      color: levelColor(level, dark),
      points: data.buckets.map((bucket) => [Date.parse(bucket.time) / 1000, bucket.counts[level] ?? 0] as const),
    }))
  }, [data, dark])
  return <TimeSeries title="Records by level" lines={lines} drawn="bars" stacked height={96} format={count} />
}
