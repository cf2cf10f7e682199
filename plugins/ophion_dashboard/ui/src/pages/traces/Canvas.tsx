import { useEffect, useRef, useState, type RefObject } from 'react'
import type { Size } from './scatterScale'

/** Return the size of an element, in CSS pixels; nothing until it is there. */
export function useSize(place: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 })
  useEffect(() => {
    const node = place.current
    if (!node) return undefined
    const observer = new ResizeObserver(([entry]) => {
      setSize({ width: Math.floor(entry?.contentRect.width ?? 0), height: Math.floor(entry?.contentRect.height ?? 0) })
    })
    observer.observe(node)
    return () => observer.disconnect()
  }, [place])
  return size
}

interface Props {
  size: Size
  /** Works in CSS pixels on a cleared canvas; has to stay the same between changes. */
  draw: (context: CanvasRenderingContext2D) => void
}

/** A canvas that is drawn on whenever `draw` or the size changes. */
export function Canvas({ size, draw }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const node = canvas.current
    const context = node?.getContext('2d')
    if (!node || !context || !size.width || !size.height) return
    const ratio = devicePixelRatio
    node.width = size.width * ratio
    node.height = size.height * ratio
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, size.width, size.height)
    draw(context)
  }, [size, draw])
  return <canvas ref={canvas} style={{ width: size.width, height: size.height }} />
}
