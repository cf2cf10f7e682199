import { nameColor } from '@/lib/colors'
import type { TraceTree } from './tree'
import { place, type View } from './view'

/** Draw every span of a trace as a thin line, failed ones in the colour of errors. */
export function drawTree(context: CanvasRenderingContext2D, tree: TraceTree, whole: View, width: number, height: number, dark: boolean): void {
  const thick = Math.max(1, Math.min(4, height / Math.max(1, tree.order.length)))
  const colors = new Map<string, string>()
  const failed = dark ? '#ff8b80' : '#b42318'
  tree.order.forEach((index, row) => {
    const node = tree.nodes[index]
    if (!node) return
    const { service, status } = node.span
    let color = status === 'error' ? failed : colors.get(service)
    if (!color) {
      color = nameColor(service, dark)
      colors.set(service, color)
    }
    context.fillStyle = color
    const x = place(node.start, whole) * width
    context.fillRect(x, (row / tree.order.length) * (height - thick), Math.max(1, place(node.end, whole) * width - x), thick)
  })
}
