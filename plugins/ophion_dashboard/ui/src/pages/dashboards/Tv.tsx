import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect, type ReactNode } from 'react'
import { Button } from '@/components/Button'
import { Page } from '@/components/Page'
import { listed } from './model/api'
import type { DashboardSearch } from './search'

interface Props {
  title: string
  uid?: string
  children: ReactNode
}

/** Nothing but the dashboard, over the whole screen; Escape leaves. */
export function Tv({ title, uid, children }: Props) {
  const search = useSearch({ strict: false }) as DashboardSearch
  const navigate = useNavigate()
  useEffect(() => {
    document.documentElement.dataset.tv = 'true'
    const leave = () => {
      if (document.fullscreenElement) void document.exitFullscreen()
      void navigate({ to: '.', search: ((before: object) => ({ ...before, tv: undefined, cycle: undefined })) as never })
    }
    const key = (event: KeyboardEvent) => event.key === 'Escape' && leave()
    addEventListener('keydown', key)
    return () => {
      removeEventListener('keydown', key)
      delete document.documentElement.dataset.tv
    }
  }, [navigate])
  useCycle(uid, search.cycle)
  return (
    <Page title={title}>
      {children}
      <div className="dash-leave">
        <Button onPress={() => void navigate({ to: '.', search: ((before: object) => ({ ...before, tv: undefined, cycle: undefined })) as never })}>Leave TV mode</Button>
      </div>
    </Page>
  )
}

/** After `seconds`, show the next starred dashboard; all of them where none is starred. */
function useCycle(uid: string | undefined, seconds: number | undefined): void {
  const navigate = useNavigate()
  const all = useQuery({ queryKey: ['dashboards', 'list'], queryFn: ({ signal }) => listed(signal), enabled: seconds !== undefined })
  useEffect(() => {
    if (!seconds || !all.data || !uid) return undefined
    const starred = all.data.filter((one) => one.starred)
    const round = starred.length ? starred : all.data
    const next = round[(round.findIndex((one) => one.uid === uid) + 1) % Math.max(1, round.length)]
    if (!next || next.uid === uid) return undefined
    const timer = setTimeout(
      () => void navigate({ to: '/dashboards/$uid', params: { uid: next.uid }, search: { tv: true, cycle: seconds } as never }),
      seconds * 1000,
    )
    return () => clearTimeout(timer)
  }, [uid, seconds, all.data, navigate])
}
