import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useId } from 'react'
import { answer, api, type SchemaPromQlResult } from '@/api/client'
import { Skeleton } from '@/components/States'
import { percent } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'
import { around } from './links'

interface Props {
  host: string
  /** Unix milliseconds. */
  start: number
  end: number
}

const AROUND_MS = 5 * 60_000
const STEP_SECONDS = 15

type Points = [number, number][]

/** CPU and memory of the span's host around its time. */
export function SpanHost({ host, start, end }: Props) {
  const { zone } = useTime()
  const name = JSON.stringify(host)
  const cpu = useFigure(`1 - avg(rate(system_cpu_time_seconds_total{host_name=${name},state="idle"}[2m]))`, start, end)
  const memory = useFigure(
    `sum(system_memory_usage_bytes{host_name=${name},state="used"}) / sum(system_memory_usage_bytes{host_name=${name}})`,
    start,
    end,
  )
  return (
    <section className="column traces-host" aria-label={`Host ${host}`}>
      <div className="row spread">
        <h3>
          Host <Link to="/hosts/$name" params={{ name: host }} search={{ at: Math.round(start), ...around(start, end, AROUND_MS) }}>{host}</Link>
        </h3>
        <span className="faint small">{clock(start, zone).slice(11)} ± 5 min</span>
      </div>
      {cpu.data && memory.data ? (
        <div className="traces-minis">
          <MiniChart label="CPU" points={cpu.data} start={start} end={end} />
          <MiniChart label="Memory" points={memory.data} start={start} end={end} />
        </div>
      ) : cpu.error ?? memory.error ? (
        <p className="quiet small">{(cpu.error ?? memory.error)?.message}</p>
      ) : (
        <Skeleton height={60} />
      )}
    </section>
  )
}

function useFigure(query: string, start: number, end: number) {
  const body = { query, ...around(start, end, AROUND_MS), step: `${Math.max(STEP_SECONDS, Math.ceil((end - start) / 1000 / 100))}s` }
  return useQuery({
    queryKey: ['traces', 'host', body],
    queryFn: async ({ signal }): Promise<Points> => {
      const found = (await answer(api.POST('/api/metrics/query', { body: body as never, signal }))) as SchemaPromQlResult
      return (found.series[0]?.points ?? []).map(([time, value]) => [time * 1000, Number(value)])
    },
    placeholderData: undefined,
    staleTime: 60_000,
  })
}

const WIDTH = 160
const HEIGHT = 40

interface ChartProps {
  label: string
  points: Points
  start: number
  end: number
}

/** A share over ten minutes, with the span's time marked. */
function MiniChart({ label, points, start, end }: ChartProps) {
  const id = useId()
  if (!points.length) return <p className="quiet small">{label}: this host sends none for that time.</p>
  const first = start - AROUND_MS
  const width = end + AROUND_MS - first
  const x = (time: number) => ((time - first) / width) * WIDTH
  const y = (share: number) => HEIGHT - Math.max(0, Math.min(1, share)) * (HEIGHT - 2) - 1
  const line = points.map(([time, share], at) => `${at ? 'L' : 'M'}${x(time).toFixed(1)} ${y(share).toFixed(1)}`).join('')
  const [firstPoint, lastPoint] = [points[0], points.at(-1)]
  const nearest = points.reduce((best, one) => (Math.abs(one[0] - start) < Math.abs(best[0] - start) ? one : best))
  return (
    <figure className="traces-mini" aria-labelledby={id}>
      <figcaption id={id} className="row spread small">
        <span className="quiet">{label}</span> <b>{percent(nearest[1])}</b>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
        <rect x={x(start)} y={0} width={Math.max(2, x(end) - x(start))} height={HEIGHT} className="traces-when" />
        <path d={`${line}L${x(lastPoint?.[0] ?? 0)} ${HEIGHT}L${x(firstPoint?.[0] ?? 0)} ${HEIGHT}Z`} className="traces-area" />
        <path d={line} className="traces-line" vectorEffect="non-scaling-stroke" />
      </svg>
    </figure>
  )
}
