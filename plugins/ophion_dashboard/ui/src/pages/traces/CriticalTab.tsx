import { useMemo } from 'react'
import { Dot } from '@/components/Badge'
import { Panel } from '@/components/Panel'
import { DataTable, type Column } from '@/components/DataTable'
import { nameColor } from '@/lib/colors'
import { duration, percent } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import type { Segment } from './critical'
import { byService } from './times'
import type { Trace } from './useTrace'

interface Props {
  trace: Trace
  select: (index: number | undefined) => void
}

interface Step extends Segment {
  number: number
}

/** What the duration of the trace is made of, in order of time. */
export function CriticalTab({ trace, select }: Props) {
  const { dark } = useTheme()
  const steps = useMemo<Step[]>(() => trace.path.map((segment, at) => ({ ...segment, number: at + 1 })), [trace])
  const total = useMemo(() => steps.reduce((sum, step) => sum + step.end - step.start, 0), [steps])
  const shares = useMemo(() => byService(trace.tree, (index) => trace.critical.get(index) ?? 0), [trace])
  const columns = useMemo<Column<Step>[]>(() => {
    const spanOf = (step: Step) => trace.tree.nodes[step.index]?.span
    return [
      { id: 'number', header: '#', number: true, width: 44, cell: (step) => step.number, sort: (step) => step.number },
      {
        id: 'service',
        header: 'Service',
        cell: (step) => (
          <span className="row">
            <Dot color={nameColor(spanOf(step)?.service ?? '', dark)} />
            {spanOf(step)?.service}
          </span>
        ),
        sort: (step) => spanOf(step)?.service ?? '',
      },
      { id: 'name', header: 'Operation', cell: (step) => spanOf(step)?.name, sort: (step) => spanOf(step)?.name ?? '' },
      { id: 'at', header: 'From', number: true, cell: (step) => `+${duration((step.start - trace.tree.start) * 1e6)}`, sort: (step) => step.start },
      { id: 'took', header: 'Waited', number: true, cell: (step) => duration((step.end - step.start) * 1e6), sort: (step) => step.end - step.start },
      { id: 'share', header: 'Share', number: true, cell: (step) => percent((step.end - step.start) / total), sort: (step) => step.end - step.start },
    ]
  }, [trace, dark, total])
  return (
    <div className="column">
      <p className="quiet">
        Shortening one of these steps shortens the trace; anything else runs beside them. {steps.length} steps, {duration(total * 1e6)} together.
      </p>
      <div className="traces-shares" aria-hidden>
        {shares.map((share) => (
          <span key={share.service} style={{ flexGrow: share.value, background: nameColor(share.service, dark) }} title={`${share.service} ${percent(share.value / total)}`} />
        ))}
      </div>
      <ul className="row wrap small" aria-label="Share of services">
        {shares.map((share) => (
          <li key={share.service} className="row">
            <Dot color={nameColor(share.service, dark)} /> {share.service} <b>{percent(share.value / total)}</b>
          </li>
        ))}
      </ul>
      <Panel flush>
        <DataTable label="Critical path" columns={columns} rows={steps} rowKey={(step) => String(step.number)} open={(step) => select(step.index)} maxHeight="max(300px, calc(100dvh - 420px))" />
      </Panel>
    </div>
  )
}
