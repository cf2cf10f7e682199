import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { answer, api, type SchemaTraceView } from '@/api/client'
import { criticalPath, segmentsBySpan, type Segment } from './critical'
import { selfTimes } from './times'
import { buildTree, type TraceTree } from './tree'

/** A trace with everything that the tabs show of it. */
export interface Trace {
  view: SchemaTraceView
  tree: TraceTree
  /** Begin of the trace in Unix milliseconds. */
  startMs: number
  self: Float64Array
  path: Segment[]
  segments: ReadonlyMap<number, readonly Segment[]>
  /** Milliseconds of each span on the critical path. */
  critical: ReadonlyMap<number, number>
}

export function analyse(view: SchemaTraceView): Trace {
  const tree = buildTree(view.spans)
  const path = criticalPath(tree)
  const segments = segmentsBySpan(path)
  const critical = new Map([...segments].map(([index, own]) => [index, own.reduce((sum, { start, end }) => sum + end - start, 0)]))
  return { view, tree, startMs: Date.parse(view.start), self: selfTimes(tree), path, segments, critical }
}

/** Ask for a trace; it is analysed once, however many tabs look at it. */
export function useTrace(traceId: string | undefined): UseQueryResult<Trace> {
  return useQuery({
    queryKey: ['traces', 'one', traceId],
    queryFn: async ({ signal }) => {
      const found = await answer(api.GET('/api/traces/{traceId}', { params: { path: { traceId: traceId ?? '' } }, signal }))
      return analyse(found as SchemaTraceView)
    },
    enabled: Boolean(traceId),
    // Comparing ten thousand spans with those before costs more than drawing them anew.
    structuralSharing: false,
    placeholderData: undefined,
    staleTime: 30_000,
  })
}

/** Return what a trace is called: the operation of its longest root. */
export function titleOf(trace: Trace): { service: string; name: string } {
  const main = trace.tree.nodes[trace.tree.main]?.span
  return { service: main?.service ?? '', name: main?.name ?? 'Trace' }
}
