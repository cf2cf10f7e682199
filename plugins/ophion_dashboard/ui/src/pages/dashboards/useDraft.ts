import { useCallback, useEffect, useMemo, useState } from 'react'
import type { DashboardModel, PanelModel } from './model/types'

export interface Draft {
  model: DashboardModel
  isChanged: boolean
  change: (part: Partial<DashboardModel>) => void
  changePanel: (panel: PanelModel) => void
  discard: () => void
}

/** A dashboard while it is changed: what was saved, until something is. */
export function useDraft(saved: DashboardModel): Draft {
  const [draft, setDraft] = useState<DashboardModel | null>(null)
  const model = draft ?? saved
  const change = useCallback((part: Partial<DashboardModel>) => setDraft((before) => ({ ...(before ?? saved), ...part })), [saved])
  const changePanel = useCallback(
    (panel: PanelModel) =>
      setDraft((before) => {
        const from = before ?? saved
        const isKnown = from.panels.some((one) => one.id === panel.id)
        return { ...from, panels: isKnown ? from.panels.map((one) => (one.id === panel.id ? panel : one)) : [...from.panels, panel] }
      }),
    [saved],
  )
  const discard = useCallback(() => setDraft(null), [])
  const isChanged = draft !== null
  useEffect(() => {
    if (!isChanged) return undefined
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', ask)
    return () => removeEventListener('beforeunload', ask)
  }, [isChanged])
  return useMemo(() => ({ model, isChanged, change, changePanel, discard }), [model, isChanged, change, changePanel, discard])
}
