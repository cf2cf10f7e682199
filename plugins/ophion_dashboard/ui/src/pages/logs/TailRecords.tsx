import { useMemo } from 'react'
import { Badge } from '@/components/Badge'
import { Empty } from '@/components/States'
import { count } from '@/lib/format'
import { LogDetail } from './LogDetail'
import { LogList } from './LogList'
import { entryKey } from './records'
import type { ListProps } from './Records'
import { MOST, useTail, type Tail } from './useTail'

/** Records as they come, the newest at the end; scrolling up holds the list still. */
export function TailRecords({ filters, search, set, narrow }: ListProps) {
  const tail = useTail(filters, true)
  const open = useMemo(
    () => (search.record === undefined ? undefined : tail.entries.find((entry) => entryKey(entry) === search.record)),
    [tail.entries, search.record],
  )
  return (
    <div className="column grow">
      <div className="row wrap" role="status">
        <TailState tail={tail} />
        {tail.dropped ? <Badge tone="warn">{count(tail.dropped)} came too quickly to be shown</Badge> : null}
        <span className="faint small">the last {count(MOST)} stay in the list</span>
      </div>
      {tail.entries.length === 0 ? (
        <Empty title="Waiting for records">What is received from now on, and matches, appears here.</Empty>
      ) : (
        <div className={`logs-lines ${open ? 'with-detail' : ''}`}>
          <LogList label="Live log records" entries={tail.entries} wrap={Boolean(search.wrap)} selected={search.record} select={(record) => set({ record })} follow />
          {open ? <LogDetail entry={open} close={() => set({ record: undefined })} narrow={narrow} /> : null}
        </div>
      )}
    </div>
  )
}

function TailState({ tail }: { tail: Tail }) {
  if (tail.problem) return <Badge tone="bad">{tail.problem}</Badge>
  if (tail.state === 'following') return <Badge tone="ok">Following, {count(tail.entries.length)} records</Badge>
  return tail.state === 'lost' ? <Badge tone="warn">Connection lost, trying again</Badge> : <Badge>Connecting</Badge>
}
