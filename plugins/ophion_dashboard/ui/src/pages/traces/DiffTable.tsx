import { useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { Badge, Dot, type Tone } from '@/components/Badge'
import { Segments } from '@/components/Choice'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { nameColor } from '@/lib/colors'
import { duration } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { diffTraces, signed, summarise, type Change, type PathDiff } from './diff'
import type { Trace } from './useTrace'

const TONES: Record<Change, Tone> = { added: 'info', missing: 'warn', slower: 'bad', faster: 'ok', same: 'plain' }
const ms = (value: number) => duration(value * 1e6)

/** What differs between two traces, operation by operation. */
export function DiffTable({ a, b }: { a: Trace; b: Trace }) {
  const [only, setOnly] = useState<'all' | Change>('all')
  const navigate = useNavigate()
  const { dark } = useTheme()
  const diffs = useMemo(() => diffTraces(a.tree, a.self, b.tree, b.self), [a, b])
  const rows = useMemo(() => (only === 'all' ? diffs : diffs.filter((one) => one.change === only)), [diffs, only])
  const columns = useMemo(() => columnsOf(dark, diffs), [dark, diffs])
  const number = (change: Change) => diffs.filter((one) => one.change === change).length
  const choices = (['added', 'missing', 'slower', 'faster', 'same'] as const).filter((change) => number(change) > 0)
  const open = (one: PathDiff) => {
    const traceId = one.countB ? b.view.trace_id : a.view.trace_id
    void navigate({ to: '/traces/$traceId', params: { traceId }, search: { find: one.name } })
  }
  return (
    <>
      <p className="notice" role="status">
        {summarise(diffs, a.view.duration_ms, b.view.duration_ms, ms)}
      </p>
      <Panel
        flush
        title="Operations by difference"
        actions={
          <span className="traces-scroll">
            <Segments label="Which operations" value={only} set={setOnly} choices={[['all', `All ${diffs.length}`], ...choices.map((change) => [change, `${change} ${number(change)}`] as const)]} />
          </span>
        }
      >
        <DataTable label="Operations by difference" columns={columns} rows={rows} rowKey={(one) => one.key} open={open} initialSort={{ id: 'difference', down: true }} maxHeight="max(320px, calc(100dvh - 470px))" />
      </Panel>
    </>
  )
}

function columnsOf(dark: boolean, diffs: readonly PathDiff[]): Column<PathDiff>[] {
  const most = diffs.reduce((best, one) => Math.max(best, Math.abs(one.difference)), 0)
  return [
    {
      id: 'operation',
      header: 'Operation',
      cell: (one) => (
        <span className="row" title={one.path.join(' → ')}>
          <Dot color={nameColor(one.service, dark)} />
          <span className="ellipsis">
            <b>{one.service}</b> {one.name}
          </span>
        </span>
      ),
      sort: (one) => `${one.service} ${one.name}`,
    },
    { id: 'change', header: 'Change', cell: (one) => <Badge tone={TONES[one.change]}>{one.change}</Badge>, sort: (one) => one.change },
    { id: 'count', header: 'Spans A → B', number: true, cell: (one) => (one.countA === one.countB ? one.countA : `${one.countA} → ${one.countB}`), sort: (one) => one.countB - one.countA },
    { id: 'errors', header: 'Errors A → B', number: true, cell: (one) => (one.errorsA || one.errorsB ? `${one.errorsA} → ${one.errorsB}` : ''), sort: (one) => one.errorsB - one.errorsA },
    { id: 'selfA', header: 'Own time A', number: true, cell: (one) => (one.countA ? ms(one.selfA) : ''), sort: (one) => one.selfA },
    { id: 'selfB', header: 'Own time B', number: true, cell: (one) => (one.countB ? ms(one.selfB) : ''), sort: (one) => one.selfB },
    {
      id: 'difference',
      header: 'Difference',
      number: true,
      width: 220,
      cell: (one) => (
        <span className="row">
          <span className="traces-diff" aria-hidden>
            <span
              className={one.difference > 0 ? 'more' : 'less'}
              style={{ width: `${most ? (Math.abs(one.difference) / most) * 50 : 0}%`, ...(one.difference > 0 ? { left: '50%' } : { right: '50%' }) }}
            />
          </span>
          <span className="traces-figure">{one.difference === 0 ? '0' : signed(one.difference, ms)}</span>
        </span>
      ),
      sort: (one) => Math.abs(one.difference),
    },
    { id: 'total', header: 'Duration A → B', number: true, cell: (one) => `${one.countA ? ms(one.totalA) : '-'} → ${one.countB ? ms(one.totalB) : '-'}`, sort: (one) => one.totalB - one.totalA },
  ]
}
