import { useNavigate, useSearch } from '@tanstack/react-router'
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react'
import { remember, remembered } from '@/lib/storage'
import { DEFAULT_FROM, DEFAULT_TO, isRelative, resolveRange, type Range, type Zone } from '@/lib/time'

export const REFRESH_SECONDS = [0, 5, 10, 30, 60, 300] as const

interface Time {
  /** As in the URL: `now-1h`, or Unix milliseconds. */
  from: string
  to: string
  /** Resolved at the last tick; every panel of a page asks for the same milliseconds. */
  range: Range
  refresh: number
  zone: Zone
  /** Go to another range; drops a relative end where a fixed range is given. */
  setRange: (from: string, to: string) => void
  /** Show exactly these milliseconds, as after dragging on a chart. */
  zoom: (start: number, end: number) => void
  setRefresh: (seconds: number) => void
  setZone: (zone: Zone) => void
  /** Ask for everything again, now. */
  reload: () => void
}

const TimeContext = createContext<Time | null>(null)

/** The time range of all pages, from the URL, and the clock that moves it on. */
export function TimeProvider({ children }: { children: ReactNode }) {
  const search = useSearch({ strict: false }) as { from?: string; to?: string; refresh?: number }
  const navigate = useNavigate()
  const from = search.from ?? DEFAULT_FROM
  const to = search.to ?? DEFAULT_TO
  const refresh = search.refresh ?? (isRelative(to) ? 30 : 0)
  const [now, setNow] = useState(() => Date.now())
  const [zone, chooseZone] = useState<Zone>(() => (remembered('zone') === 'utc' ? 'utc' : 'local'))

  const reload = useCallback(() => setNow(Date.now()), [])
  useTick(refresh, reload)

  const setSearch = useCallback(
    (change: object) => void navigate({ to: '.', search: ((before: object) => ({ ...before, ...change })) as never }),
    [navigate],
  )
  const setRange = useCallback(
    (nextFrom: string, nextTo: string) => {
      setNow(Date.now())
      setSearch({ from: nextFrom, to: nextTo })
    },
    [setSearch],
  )
  const zoom = useCallback((start: number, end: number) => setRange(String(Math.floor(start)), String(Math.ceil(end))), [setRange])
  const setRefresh = useCallback((seconds: number) => setSearch({ refresh: seconds }), [setSearch])
  const setZone = useCallback((next: Zone) => {
    remember('zone', next)
    chooseZone(next)
  }, [])

  const range = useMemo(() => resolveRange(from, to, now), [from, to, now])
  const time = useMemo(
    () => ({ from, to, range, refresh, zone, setRange, zoom, setRefresh, setZone, reload }),
    [from, to, range, refresh, zone, setRange, zoom, setRefresh, setZone, reload],
  )
  return <TimeContext value={time}>{children}</TimeContext>
}

function useTick(seconds: number, tick: () => void): void {
  useEffect(() => {
    if (!seconds) return undefined
    const timer = setInterval(() => {
      if (!document.hidden) tick()
    }, seconds * 1000)
    return () => clearInterval(timer)
  }, [seconds, tick])
}

export function useTime(): Time {
  const time = useContext(TimeContext)
  if (!time) throw new Error('useTime needs a TimeProvider')
  return time
}
