import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api, type SchemaLogPage } from '@/api/client'
import { Button } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { Loaded } from '@/components/States'
import { LogList } from './LogList'
import { term } from './query'
import { CONTEXT_REACH_MS, entryKey, later, milliseconds, type Entry } from './records'
import { ALL_RECORDS, entriesOf } from './useLogs'

const STEP = 25

/** The records of the same source just before and after one, whatever was searched for. */
export default function LogContext({ entry, close }: { entry: Entry; close: () => void }) {
  const [reach, setReach] = useState(STEP)
  const query = useQuery({ queryKey: ['logs', 'context', entryKey(entry), reach], queryFn: ({ signal }) => around(entry, reach, signal) })
  return (
    <Dialog title={`Lines around, from ${entry.service || 'the same source'}`} open close={close} width={1100}>
      <Loaded query={query} height={400}>
        {(entries) => (
          <div className="logs-context">
            <LogList label="Lines around the record" entries={entries} wrap={false} selected={entryKey(entry)} select={() => undefined} />
          </div>
        )}
      </Loaded>
      <Button onPress={() => setReach(reach + 100)} isDisabled={reach >= 500}>
        More lines
      </Button>
    </Dialog>
  )
}

async function around(entry: Entry, reach: number, signal: AbortSignal): Promise<Entry[]> {
  const at = milliseconds(entry.time)
  const page = (from: string, to: string, order: 'newest' | 'oldest') =>
    answer(api.POST('/api/logs/query', { body: { ...ALL_RECORDS, from, to, order, limit: reach, query: source(entry) }, signal }))
  // The end of a range is not in it: the record itself, and others of the same nanosecond, come first in what follows.
  const [before, after] = await Promise.all([
    page(new Date(at - CONTEXT_REACH_MS).toISOString(), entry.time, 'newest'),
    page(later(entry.time, 0n), new Date(at + CONTEXT_REACH_MS).toISOString(), 'oldest'),
  ])
  return [...entriesOf(before as SchemaLogPage).reverse(), ...entriesOf(after as SchemaLogPage)]
}

function source(entry: Entry): string {
  const fields = ['host.name', 'container.id', 'service.instance.id'].filter((key) => typeof entry.resource[key] === 'string')
  return [entry.service ? term('service', entry.service) : '', ...fields.map((key) => term(key, entry.resource[key]))].filter(Boolean).join(' ')
}
