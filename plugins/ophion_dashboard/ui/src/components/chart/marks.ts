import type uPlot from 'uplot'
import type { Mark } from './Plot'

const SIZE = 4
const REACH = 10

export function drawMarks(plot: uPlot, marks: readonly Mark[], dark: boolean): void {
  const { ctx } = plot
  const size = SIZE * devicePixelRatio
  ctx.save()
  ctx.fillStyle = dark ? '#e6d04f' : '#8a6d00'
  for (const mark of marks) {
    const x = plot.valToPos(mark.time, 'x', true)
    const y = plot.valToPos(mark.value, 'y', true)
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width || y < plot.bbox.top) continue
    ctx.beginPath()
    ctx.moveTo(x, y - size)
    ctx.lineTo(x + size, y)
    ctx.lineTo(x, y + size)
    ctx.lineTo(x - size, y)
    ctx.fill()
  }
  ctx.restore()
}

export function drawThresholds(plot: uPlot, thresholds: readonly { value: number; color: string }[]): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio])
  for (const { value, color } of thresholds) {
    const y = plot.valToPos(value, 'y', true)
    if (y < bbox.top || y > bbox.top + bbox.height) continue
    ctx.strokeStyle = color
    ctx.beginPath()
    ctx.moveTo(bbox.left, y)
    ctx.lineTo(bbox.left + bbox.width, y)
    ctx.stroke()
  }
  ctx.restore()
}

/** Draw a line through a time, in Unix seconds. */
export function drawMoment(plot: uPlot, moment: number | undefined, dark: boolean): void {
  if (moment === undefined) return
  const { ctx, bbox } = plot
  const x = plot.valToPos(moment, 'x', true)
  if (x < bbox.left || x > bbox.left + bbox.width) return
  ctx.save()
  ctx.lineWidth = 1.5 * devicePixelRatio
  ctx.strokeStyle = dark ? '#e6d04f' : '#8a6d00'
  ctx.beginPath()
  ctx.moveTo(x, bbox.top)
  ctx.lineTo(x, bbox.top + bbox.height)
  ctx.stroke()
  ctx.restore()
}

/** Return the mark within reach of a point in CSS pixels of the plot area. */
export function nearestMark(plot: uPlot, marks: readonly Mark[], x: number, y: number): Mark | undefined {
  let best: Mark | undefined
  let least = REACH
  for (const mark of marks) {
    const away = Math.hypot(plot.valToPos(mark.time, 'x') - x, plot.valToPos(mark.value, 'y') - y)
    if (away < least) {
      least = away
      best = mark
    }
  }
  return best
}
