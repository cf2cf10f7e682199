import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState, type RefObject } from 'react'
import type { Range } from '@/lib/time'
import type { PanelModel } from '../model/types'
import type { Values } from '../model/variables'
import { ask, asked, type Asked, type PanelData } from './data'

export function panelQuery(question: Asked) {
  return {
    queryKey: ['panel', question],
    queryFn: ({ signal }: { signal?: AbortSignal }) => ask(question, signal),
    structuralSharing: false as const,
    staleTime: 30_000,
  }
}

/** The data of a panel; it is asked for while the panel can be seen. */
export function usePanel(panel: PanelModel, values: Values, range: Range, visible: boolean, frozen?: PanelData) {
  const question = useMemo(() => asked(panel, values, range), [panel, values, range])
  const hasQuestion = question.kind !== 'nothing' && question.expressions.some((one) => one.trim() || question.kind !== 'promql')
  const query = useQuery({ ...panelQuery(question), enabled: visible && hasQuestion && !frozen })
  return { ...query, data: frozen ?? query.data, hasQuestion, question }
}

/** Whether an element is on the screen, or nearly. */
export function useVisible(place: RefObject<HTMLElement | null>): boolean {
  const [visible, setVisible] = useState(false)
  useEffect(() => {
    const node = place.current
    if (!node) return undefined
    const observer = new IntersectionObserver(([entry]) => setVisible(Boolean(entry?.isIntersecting)), { rootMargin: '120px' })
    observer.observe(node)
    return () => observer.disconnect()
  }, [place])
  return visible
}

export interface Size {
  width: number
  height: number
}

export function useSize(place: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 })
  useEffect(() => {
    const node = place.current
    if (!node) return undefined
    const observer = new ResizeObserver(([entry]) => {
      const { width = 0, height = 0 } = entry?.contentRect ?? {}
      setSize({ width: Math.floor(width), height: Math.floor(height) })
    })
    observer.observe(node)
    return () => observer.disconnect()
  }, [place])
  return size
}
