import type { UseQueryResult } from '@tanstack/react-query'
import { CircleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '@/api/client'
import { Button } from './Button'

interface EmptyProps {
  title: string
  /** What to do next. */
  children?: ReactNode
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children ? <div>{children}</div> : null}
    </div>
  )
}

export function Skeleton({ height = 120 }: { height?: number | string }) {
  return <div className="skeleton" style={{ height }} aria-hidden data-testid="skeleton" />
}

interface FailureProps {
  error: Error
  retry?: () => void
}

export function Failure({ error, retry }: FailureProps) {
  const refused = error instanceof ApiError ? error.errors : []
  const id = error instanceof ApiError ? error.errorId : undefined
  return (
    <div className="notice bad" role="alert">
      <CircleAlert size={18} aria-hidden />
      <div className="grow column">
        <div>{error.message}</div>
        {refused.map((one) => (
          <div key={one.location} className="small">
            <code>{one.location}</code> {one.message}
          </div>
        ))}
        {id ? <div className="small faint">error {id} in the server’s log</div> : null}
      </div>
      {retry ? <Button onPress={retry}>Try again</Button> : null}
    </div>
  )
}

interface LoadedProps<T> {
  query: UseQueryResult<T>
  height?: number | string
  isEmpty?: (data: T) => boolean
  empty?: ReactNode
  children: (data: T) => ReactNode
}

/** Show a query's data; until then a skeleton of its height, and what went wrong instead of it. */
export function Loaded<T>({ query, height, isEmpty, empty, children }: LoadedProps<T>) {
  if (query.data === undefined) {
    return query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton height={height} />
  }
  return isEmpty?.(query.data) ? empty : children(query.data)
}
