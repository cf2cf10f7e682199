/** The canvas of a heat map. */
import { clock, type Zone } from '@/lib/time'
import type { Buckets } from '../model/values'
import type { Size } from './usePanel'

export interface Area {
  left: number
  top: number
  width: number
  height: number
}

interface Look {
  dark: boolean
  zone: Zone
  /** Unix seconds. */
  start: number
  end: number
  step: number
}

const FONT = '11px system-ui, sans-serif'
const BELOW = 22

export function heatArea({ width, height }: Size, names: readonly string[]): Area {
  const left = Math.min(140, Math.max(36, ...names.map((name) => name.length * 6.4 + 10)))
  return { left, top: 4, width: Math.max(10, width - left - 4), height: Math.max(10, height - BELOW - 4) }
}

/** Return a colour from light to strong; a share of 0 is the ground itself. */
export function heatColour(share: number, dark: boolean): string {
  const part = Math.sqrt(Math.min(1, Math.max(0, share)))
  const [low, high] = dark ? [[22, 50, 60], [255, 214, 110]] : [[222, 240, 244], [12, 74, 96]]
  const mixed = [0, 1, 2].map((at) => Math.round((low?.[at] ?? 0) + ((high?.[at] ?? 0) - (low?.[at] ?? 0)) * part))
  return `rgb(${mixed.join(' ')})`
}

export function drawHeat(canvas: HTMLCanvasElement, heat: Buckets, area: Area, look: Look): void {
  const ratio = devicePixelRatio || 1
  canvas.width = canvas.clientWidth * ratio
  canvas.height = canvas.clientHeight * ratio
  const context = canvas.getContext('2d')
  if (!context) return
  context.scale(ratio, ratio)
  drawCells(context, heat, area, look)
  context.fillStyle = look.dark ? '#95a2b2' : '#5f6b7a'
  context.font = FONT
  drawNames(context, heat.names, area)
  drawTimes(context, area, look)
}

function drawCells(context: CanvasRenderingContext2D, heat: Buckets, area: Area, look: Look): void {
  const most = heat.counts.reduce((best, row) => row.reduce((high, value) => Math.max(high, value), best), 0) || 1
  const height = area.height / Math.max(1, heat.names.length)
  const perSecond = area.width / (look.end - look.start)
  const width = Math.max(1, look.step * perSecond)
  heat.counts.forEach((row, at) => {
    const y = area.top + area.height - (at + 1) * height
    row.forEach((value, column) => {
      if (value <= 0) return
      const x = area.left + ((heat.times[column] ?? 0) - look.step - look.start) * perSecond
      const from = Math.max(area.left, x)
      context.fillStyle = heatColour(value / most, look.dark)
      context.fillRect(from, y + 0.5, Math.max(0, Math.min(x + width, area.left + area.width) - from - 0.5), Math.max(1, height - 1))
    })
  })
}

function drawNames(context: CanvasRenderingContext2D, names: readonly string[], area: Area): void {
  const height = area.height / Math.max(1, names.length)
  const every = Math.max(1, Math.ceil(13 / height))
  context.textAlign = 'right'
  context.textBaseline = 'middle'
  names.forEach((name, at) => {
    if (at % every === 0) context.fillText(name.slice(0, 22), area.left - 6, area.top + area.height - (at + 0.5) * height)
  })
}

function drawTimes(context: CanvasRenderingContext2D, area: Area, look: Look): void {
  const count = Math.max(2, Math.floor(area.width / 110))
  context.textBaseline = 'top'
  for (let at = 0; at <= count; at += 1) {
    const time = look.start + ((look.end - look.start) * at) / count
    context.textAlign = at === 0 ? 'left' : at === count ? 'right' : 'center'
    const text = clock(time * 1000, look.zone)
    context.fillText(look.end - look.start > 86_400 ? text.slice(5, 16) : text.slice(11, 16), area.left + (area.width * at) / count, area.top + area.height + 6)
  }
}
