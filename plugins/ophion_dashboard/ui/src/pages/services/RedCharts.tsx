import { useNavigate } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import type { SchemaHistory, SchemaServiceView } from '@/api/client'
import type { Line } from '@/components/chart/data'
import { TimeSeries } from '@/components/chart/TimeSeries'
import { Panel } from '@/components/Panel'
import { duration } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { pointsOf, stepAround } from './course'

const HEIGHT = 180

/** Rate, errors and duration over time: a click opens the traces of that step, a diamond its longest request. */
export function RedCharts({ service }: { service: SchemaServiceView }) {
  const { history, name } = service
  return (
    <div className="grid" style={{ '--least': '360px' } as React.CSSProperties}>
      <Requests name={name} history={history} />
      <Errors name={name} history={history} />
      <Durations service={service} />
    </div>
  )
}

function useOpenTraces(service: string, history: SchemaHistory, more?: object) {
  const navigate = useNavigate()
  return useCallback(
    (time: number) => {
      const { from, to } = stepAround(history, time)
      void navigate({ to: '/traces', search: { service, ...more, from: String(from), to: String(to) } as never })
    },
    // `more` is a constant of its caller.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [navigate, service, history],
  )
}

function Requests({ name, history }: { name: string; history: SchemaHistory }) {
  const { dark } = useTheme()
  const open = useOpenTraces(name, history)
  const lines = useMemo<Line[]>(() => {
    const perStep = (rate: number) => Math.round(rate * history.step_seconds)
    return [
      { key: 'succeeded', color: dark ? '#56b4e9' : '#0072b2', points: pointsOf(history, history.rate.map((all, index) => perStep(all - (history.errors[index] ?? 0)))) },
      { key: 'failed', color: dark ? '#ff8b80' : '#b42318', points: pointsOf(history, history.errors.map(perStep)) },
    ]
  }, [history, dark])
  return (
    <Panel title="Requests" actions={<span className="faint small">per {duration(history.step_seconds * 1e9)}</span>}>
      <TimeSeries title="Requests" lines={lines} drawn="bars" stacked min={0} height={HEIGHT} onPick={open} />
    </Panel>
  )
}

function Errors({ name, history }: { name: string; history: SchemaHistory }) {
  const { dark } = useTheme()
  const open = useOpenTraces(name, history, { status: 'error' })
  const lines = useMemo<Line[]>(() => [{ key: 'failed share', color: dark ? '#ff8b80' : '#b42318', points: pointsOf(history, history.error_rate) }], [history, dark])
  return (
    <Panel title="Errors">
      <TimeSeries title="Errors" lines={lines} unit="percent" drawn="area" min={0} height={HEIGHT} onPick={open} />
    </Panel>
  )
}

function Durations({ service }: { service: SchemaServiceView }) {
  const { history, longest, name } = service
  const navigate = useNavigate()
  const open = useOpenTraces(name, history, { sort: 'longest' })
  const lines = useMemo<Line[]>(
    () => [
      { key: 'p99', points: pointsOf(history, history.p99_ms) },
      { key: 'p95', points: pointsOf(history, history.p95_ms) },
      { key: 'p50', points: pointsOf(history, history.p50_ms) },
    ],
    [history],
  )
  const marks = useMemo(
    () => longest.map((one) => ({ key: one.trace_id, time: Date.parse(one.time) / 1000, value: one.duration_ms, label: one.failed ? 'failed request' : 'longest request' })),
    [longest],
  )
  const highest = Math.max(1, ...marks.map((mark) => mark.value), ...history.p99_ms.map((value) => value ?? 0))
  return (
    <Panel title="Duration" actions={<span className="faint small" title="Diamonds are the longest requests; a click opens the trace">◆ traces</span>}>
      <TimeSeries
        title="Duration"
        lines={lines}
        unit="ms"
        min={0}
        max={highest * 1.06}
        height={HEIGHT}
        marks={marks}
        onMark={(mark) => void navigate({ to: '/traces/$traceId', params: { traceId: mark.key } })}
        onPick={open}
      />
    </Panel>
  )
}
