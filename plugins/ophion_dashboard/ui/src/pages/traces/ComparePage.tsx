import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { ArrowLeftRight } from 'lucide-react'
import { useCallback } from 'react'
import { Button } from '@/components/Button'
import { Page } from '@/components/Page'
import { Failure, Skeleton } from '@/components/States'
import { CompareSide } from './CompareSide'
import { DiffTable } from './DiffTable'
import { TracePicker } from './TracePicker'
import { useTrace, type Trace } from './useTrace'
import './traces.css'

export default function ComparePage() {
  const { a, b } = useSearch({ from: '/traces/compare' })
  const navigate = useNavigate({ from: '/traces/compare' })
  const set = useCallback((next: { a?: string; b?: string }) => void navigate({ to: '.', search: (before) => ({ ...before, ...next }) }), [navigate])
  const first = useTrace(a)
  const second = useTrace(b)
  const longest = Math.max(lengthOf(first.data), lengthOf(second.data))
  const side = (name: 'a' | 'b', id: string | undefined, query: typeof first, other: Trace | undefined) => {
    const label = name === 'a' ? 'A' : 'B'
    if (!id) return <TracePicker label={label} like={other} choose={(traceId) => set({ [name]: traceId })} />
    if (query.error) return <Failure error={query.error} retry={() => set({ [name]: undefined })} />
    return query.data ? <CompareSide label={label} trace={query.data} longest={longest} change={() => set({ [name]: undefined })} /> : <Skeleton height={170} />
  }
  return (
    <Page
      title="Compare traces"
      crumbs={<Link to="/traces">Traces</Link>}
      actions={
        a && b ? (
          <Button onPress={() => set({ a: b, b: a })}>
            <ArrowLeftRight size={14} aria-hidden /> Swap A and B
          </Button>
        ) : null
      }
    >
      <div className="traces-sides">
        {side('a', a, first, second.data)}
        {side('b', b, second, first.data)}
      </div>
      {first.data && second.data ? <DiffTable a={first.data} b={second.data} /> : null}
    </Page>
  )
}

function lengthOf(trace: Trace | undefined): number {
  return trace ? trace.tree.end - trace.tree.start : 0
}
