import { useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, type ReactNode } from 'react'
import { isRelative, type Range } from '@/lib/time'
import { fixed } from './model/time'

/** Sets the time of the page to that of a snapshot, so that its charts show it; zooming in is still possible. */
export function FrozenTime({ range, children }: { range: Range; children: ReactNode }) {
  const search = useSearch({ strict: false }) as { from?: string; to?: string }
  const navigate = useNavigate()
  const isFixed = search.from !== undefined && search.to !== undefined && !isRelative(search.to)
  useEffect(() => {
    if (!isFixed) void navigate({ to: '.', replace: true, search: ((before: object) => ({ ...before, ...fixed(range), refresh: 0 })) as never })
  }, [isFixed, range, navigate])
  return isFixed ? children : null
}
