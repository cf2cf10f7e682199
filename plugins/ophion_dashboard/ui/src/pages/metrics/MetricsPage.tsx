import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { PanelLeft, Play, Plus } from 'lucide-react'
import { useCallback, useEffect, useMemo, useState } from 'react'
import type { SchemaMetric } from '@/api/client'
import { Button, Toggle } from '@/components/Button'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { remember, remembered } from '@/lib/storage'
import { niceStep, SECOND } from '@/lib/time'
import { useTime } from '@/shell/time'
import { Actions } from './Actions'
import { Browser } from './Browser'
import './metrics.css'
import { DrawnOptions, Options } from './Options'
import { keepQuery } from './promql/history'
import { startingPoint, toPromQL } from './promql/model'
import { runAll, stepSeconds, type Question } from './promql/run'
import { useMetadata } from './promql/source'
import { unitOf } from './promql/units'
import { QueryRow, type Mode } from './QueryRow'
import { Results, type Drawn } from './Results'
import { hiddenAfter, letter, texts, useRows, type Row } from './rows'
import type { MetricsSearch } from './search'

const MOST_POINTS = 10_000

export default function MetricsPage() {
  const search = useSearch({ from: '/metrics' })
  const navigate = useNavigate()
  const { range, reload } = useTime()
  const running = useMemo(() => search.q ?? [], [search.q])
  const rows = useRows(running)
  const [isBrowsing, setBrowsing] = useBrowsing()
  const [mode, setMode] = useState<Mode>(() => (remembered('metrics.mode') === 'builder' ? 'builder' : 'code'))

  const change = useCallback(
    (part: Partial<MetricsSearch>) => void navigate({ to: '.', search: ((before: MetricsSearch) => ({ ...before, ...part })) as never }),
    [navigate],
  )
  const run = (made: readonly Row[]) => {
    const q = texts(made)
    if (q.join('\n\n') === running.join('\n\n')) reload()
    else change({ q })
  }
  const step = Math.max(stepSeconds(search.step) ?? niceStep(range), Math.ceil((range.end - range.start) / SECOND / MOST_POINTS))
  const queries = useDrawn(running, search.off)
  const questions = useMemo<Question[]>(
    () => queries.map(({ expression }) => ({ expression, range, step, instant: search.instant })),
    [queries, range, step, search.instant],
  )
  const answers = useQuery({
    queryKey: ['metrics', 'run', questions],
    queryFn: ({ signal }) => runAll(questions, signal),
    enabled: questions.length > 0,
    structuralSharing: false,
    placeholderData: keepPreviousData,
  })
  const errors = new Map(answers.data?.map((outcome) => [outcome.expression, outcome.error]) ?? [])
  useEffect(() => {
    for (const outcome of answers.data ?? []) if (!outcome.error) keepQuery(outcome.expression)
  }, [answers.data])
  const metadata = useMetadata()
  const unit = useMemo(() => commonUnit(queries.map((query) => unitOf(query.expression, metadata))), [queries, metadata])
  const shown = answers.isPlaceholderData && answers.data?.length !== queries.length ? undefined : answers.data
  const insert = (metric: SchemaMetric) => run(rows.add(toPromQL(startingPoint(metric.name, metric.type))))

  return (
    <Page title="Metrics" actions={<Actions questions={questions} search={search} unit={unit} />}>
      <div className={`metrics-page ${isBrowsing ? 'browsing' : ''}`}>
        {isBrowsing ? <Browser insert={insert} /> : null}
        <div className="metrics-main">
          <Panel className="metrics-queries">
            {rows.rows.map((row, index) => {
              const name = letter(index)
              return (
                <QueryRow
                  key={row.id}
                  letter={name}
                  draft={row.draft}
                  write={(draft) => rows.write(row.id, draft)}
                  run={(draft) => run(rows.replace(row.id, draft))}
                  remove={() => change({ q: texts(rows.remove(row.id)), off: hiddenAfter(search.off ?? [], index, rows.rows.length) })}
                  shown={!search.off?.includes(name)}
                  setShown={(isShown) => change({ off: (search.off ?? []).filter((one) => one !== name).concat(isShown ? [] : [name]) })}
                  error={row.draft.trim() === running[index] ? errors.get(row.draft.trim()) : undefined}
                  mode={mode}
                  setMode={(next) => {
                    remember('metrics.mode', next)
                    setMode(next)
                  }}
                  focus={index > 0 && index === rows.rows.length - 1 && row.draft === ''}
                />
              )
            })}
            <div className="row wrap metrics-bar">
              <Button kind="primary" onPress={() => run([...rows.rows])}>
                <Play size={14} aria-hidden /> Run
              </Button>
              <Button onPress={() => rows.add('')}>
                <Plus size={14} aria-hidden /> Add query
              </Button>
              <Toggle label="List of metrics" on={isBrowsing} set={setBrowsing}>
                <PanelLeft size={14} aria-hidden /> Metrics
              </Toggle>
              <Options search={search} change={change} step={step} />
            </div>
          </Panel>
          <Panel className="metrics-result" title="Result" actions={search.instant ? null : <DrawnOptions search={search} change={change} />}>
            <Results queries={queries} outcomes={queries.length ? shown : []} search={search} step={step} unit={unit} />
          </Panel>
        </div>
      </div>
    </Page>
  )
}

function useBrowsing(): [boolean, (on: boolean) => void] {
  const [is, set] = useState(() => (remembered('metrics.browser') ?? (innerWidth > 1000 ? 'open' : 'closed')) === 'open')
  return [
    is,
    (on) => {
      remember('metrics.browser', on ? 'open' : 'closed')
      set(on)
    },
  ]
}

function useDrawn(running: readonly string[], off: readonly string[] | undefined): Drawn[] {
  return useMemo(
    () => running.map((expression, index) => ({ letter: letter(index), expression })).filter((query) => !off?.includes(query.letter)),
    [running, off],
  )
}

/** Return the unit that all queries share, or none. */
function commonUnit(units: readonly string[]): string {
  return units.every((unit) => unit === units[0]) ? (units[0] ?? '') : ''
}
