import { useQueries } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import { prometheus } from '@/pages/metrics/promql/prometheus'
import type { Range } from '@/lib/time'
import type { Variable } from './model/types'
import { choose, fillPromQL, namesIn, readLabelValues, type Chosen, type Values } from './model/variables'
import type { DashboardSearch } from './search'

export interface Variables {
  values: Values
  /** What can be chosen; undefined until it is known. */
  offered: (name: string) => readonly string[] | undefined
  error: (name: string) => Error | null
  choose: (name: string, values: readonly string[]) => void
  /** Whether every variable has what it needs. */
  isReady: boolean
}

const CLOCK = { stepSeconds: 60, rangeSeconds: 3600 }
const MOST = 500
const MOST_OF_ALL = 200

/** Whether a variable offers only some of the values of its label. */
function isPart(variable: Variable): boolean {
  return variable.kind === 'custom' || Boolean(readLabelValues(variable.query)?.selector)
}

/** The values of a dashboard's variables: from the URL, in the order in which they may name one another. */
export function useVariables(variables: readonly Variable[], search: DashboardSearch, range: Range): Variables {
  const navigate = useNavigate()
  // Values that appear and go are looked for once a minute.
  const start = Math.floor(range.start / 60_000) * 60
  const end = Math.ceil(range.end / 60_000) * 60
  const filled = useMemo(() => queriesOf(variables, search), [variables, search])
  const answers = useQueries({
    queries: filled.map(({ variable, query }) => ({
      queryKey: ['variable', query, start, end],
      queryFn: ({ signal }: { signal: AbortSignal }) => labelValues(query, start, end, signal),
      enabled: variable.kind === 'query',
      staleTime: 60_000,
    })),
    combine: useCallback((all: { data?: string[]; error: Error | null }[]) => all.map(({ data, error }) => ({ data, error })), []),
  })
  const offered = useCallback(
    (name: string) => {
      const at = variables.findIndex((variable) => variable.name === name)
      const variable = variables[at]
      return variable?.kind === 'query' ? answers[at]?.data : variable?.values
    },
    [variables, answers],
  )
  const error = useCallback((name: string) => answers[variables.findIndex((variable) => variable.name === name)]?.error ?? null, [variables, answers])
  const values = useMemo<Values>(
    () =>
      new Map(
        variables.map((variable) => {
          const known = offered(variable.name)
          return [variable.name, { variable, values: choose(variable, search[`var-${variable.name}`], known), all: isPart(variable) ? known?.slice(0, MOST_OF_ALL) : undefined }]
        }),
      ),
    [variables, search, offered],
  )
  const set = useCallback(
    (name: string, chosen: readonly string[]) =>
      void navigate({ to: '.', replace: true, search: ((before: object) => ({ ...before, [`var-${name}`]: chosen.length ? chosen : undefined })) as never }),
    [navigate],
  )
  const isReady = variables.every(({ kind }, at) => kind !== 'query' || answers[at]?.data !== undefined || answers[at]?.error)
  return { values, offered, error, choose: set, isReady }
}

interface Filled {
  variable: Variable
  query: string
}

/** Return the queries with the variables before them filled in by what the URL says. */
function queriesOf(variables: readonly Variable[], search: DashboardSearch): Filled[] {
  const known = new Map<string, Chosen>()
  return variables.map((variable) => {
    const query = namesIn(variable.query).size ? fillPromQL(variable.query, known, CLOCK) : variable.query
    known.set(variable.name, { variable, values: choose(variable, search[`var-${variable.name}`], variable.values.length ? variable.values : undefined) })
    return { variable, query }
  })
}

async function labelValues(query: string, start: number, end: number, signal: AbortSignal): Promise<string[]> {
  const read = readLabelValues(query)
  if (!read) return []
  const found = await prometheus(`label/${encodeURIComponent(read.label)}/values`, { 'match[]': read.selector || undefined, start, end, limit: MOST }, signal)
  return Array.isArray(found) ? found.map(String) : []
}
