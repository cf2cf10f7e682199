import { useMemo } from 'react'
import { DataTable, type Column } from '@/components/DataTable'
import { Button } from '@/components/Button'
import { Panel } from '@/components/Panel'
import { count, percent } from '@/lib/format'
import { patterns, searchOf, type Pattern } from './patterns'
import { bodyText, type Entry } from './records'

interface Props {
  entries: readonly Entry[]
  /** All records of the range were loaded. */
  complete: boolean
  choose: (query: string) => void
}

/** Records that say the same, but for numbers, ids and addresses. */
export function Patterns({ entries, complete, choose }: Props) {
  const found = useMemo(() => patterns(entries.map(({ body, severity, service }) => ({ body: bodyText(body), severity, service }))), [entries])
  const columns: Column<Pattern>[] = [
    { id: 'count', header: 'Records', number: true, width: 90, cell: (row) => count(row.count), sort: (row) => row.count },
    { id: 'share', header: 'Share', number: true, width: 80, cell: (row) => percent(row.count / entries.length) },
    { id: 'pattern', header: 'Pattern', cell: (row) => <code title={row.sample}>{row.pattern}</code>, sort: (row) => row.pattern },
    { id: 'levels', header: 'Levels', cell: (row) => [...row.levels].join(', ') },
    { id: 'services', header: 'Services', cell: (row) => [...row.services].join(', ') },
    { id: 'show', header: '', cell: (row) => <Button kind="quiet" aria-label={`Show records like ${row.sample}`} onPress={() => choose(searchOf(row.pattern))}>Show</Button> },
  ]
  return (
    <div className="grow column">
      <Panel flush title={`${count(found.length)} patterns in ${complete ? 'all' : 'the first'} ${count(entries.length)} records`}>
        <DataTable label="Patterns" columns={columns} rows={found} rowKey={(row) => row.pattern} initialSort={{ id: 'count', down: true }} />
      </Panel>
    </div>
  )
}
