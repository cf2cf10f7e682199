import { useQuery } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api, type SchemaTracePage, type SchemaTraceSummary } from '@/api/client'
import { Badge } from '@/components/Badge'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { TextField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { duration } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'
import { titleOf, type Trace } from './useTrace'

interface Props {
  label: string
  /** The other trace: those of the same operation are offered. */
  like: Trace | undefined
  choose: (traceId: string) => void
}

/** Choose a trace by its id, or one of the newest of the same operation. */
export function TracePicker({ label, like, choose }: Props) {
  const [draft, setDraft] = useState('')
  const [wrong, setWrong] = useState('')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const id = draft.trim().toLowerCase()
    if (/^[0-9a-f]{32}$/.test(id)) choose(id)
    else setWrong('A trace id has 32 hexadecimal digits.')
  }
  return (
    <Panel
      title={
        <>
          <span className="traces-letter">{label}</span> Choose a trace
        </>
      }
    >
      <form className="row traces-choose" onSubmit={submit}>
        <div className="grow">
          <TextField label="Trace id" value={draft} wrong={wrong || undefined} onChange={(event) => setDraft(event.target.value)} placeholder="4bf92f3577b34da6a3ce929d0e0e4736" />
        </div>
        <Button type="submit">Compare</Button>
      </form>
      {like ? <Alike like={like} choose={choose} /> : <p className="quiet small">Or choose two traces in the list of traces.</p>}
    </Panel>
  )
}

function Alike({ like, choose }: { like: Trace; choose: (traceId: string) => void }) {
  const { range, zone } = useTime()
  const { service, name } = titleOf(like)
  const wanted = { service: [service], operation: [name], from: String(range.start), to: String(range.end), limit: 20 }
  const query = useQuery({
    queryKey: ['traces', 'alike', wanted],
    queryFn: async ({ signal }) => (await answer(api.GET('/api/traces', { params: { query: wanted }, signal }))) as SchemaTracePage,
  })
  const columns: Column<SchemaTraceSummary>[] = [
    { id: 'start', header: 'Start', cell: (trace) => clock(Date.parse(trace.start), zone, 3), sort: (trace) => trace.start },
    { id: 'duration', header: 'Duration', number: true, cell: (trace) => duration(trace.duration_ms * 1e6), sort: (trace) => trace.duration_ms },
    { id: 'spans', header: 'Spans', number: true, cell: (trace) => trace.spans, sort: (trace) => trace.spans },
    { id: 'errors', header: 'Errors', number: true, cell: (trace) => (trace.errors ? <Badge tone="bad">{trace.errors}</Badge> : ''), sort: (trace) => trace.errors },
  ]
  return (
    <Loaded query={query} height={200}>
      {(page) => {
        const others = page.traces.filter((trace) => trace.trace_id !== like.view.trace_id)
        return others.length ? (
          <DataTable label={`Other traces of ${name}`} columns={columns} rows={others} rowKey={(trace) => trace.trace_id} open={(trace) => choose(trace.trace_id)} maxHeight={260} />
        ) : (
          <Empty title={`No other trace of ${name} in this time range`}>Choose a longer time range at the top.</Empty>
        )
      }}
    </Loaded>
  )
}
