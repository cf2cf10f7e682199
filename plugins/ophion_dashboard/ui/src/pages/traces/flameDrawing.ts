import { duration } from '@/lib/format'
import type { Box, Flame } from './flame'

export const BOX_HEIGHT = 22
const ROOM_FOR_TEXT = 34

/** Return where a box stands when `zoom` (or everything) fills the width, or undefined outside of it. */
function spread(box: Box, zoom: Box | undefined, flame: Flame, width: number): { x: number; width: number } | undefined {
  const left = zoom?.left ?? 0
  const right = zoom?.right ?? flame.end
  const scale = width / Math.max(right - left, 1e-9)
  const x = (box.left - left) * scale
  const end = (box.right - left) * scale
  if (end <= 0 || x >= width) return undefined
  return { x: Math.max(0, x), width: Math.max(0.5, Math.min(width, end) - Math.max(0, x)) }
}

export function drawFlame(context: CanvasRenderingContext2D, flame: Flame, zoom: Box | undefined, width: number, colors: ReadonlyMap<string, string>, dark: boolean, hovered: number | undefined): void {
  context.font = '11px system-ui, sans-serif'
  context.textBaseline = 'middle'
  for (const box of flame.boxes) {
    const at = spread(box, zoom, flame, width)
    if (!at) continue
    const y = box.row * BOX_HEIGHT
    // Boxes around the chosen one are only its frame.
    context.globalAlpha = zoom && box.row < zoom.row ? 0.45 : 1
    context.fillStyle = colors.get(box.service) ?? '#888888'
    context.fillRect(at.x, y, Math.max(0.5, at.width - 1), BOX_HEIGHT - 1)
    if (box.errors) drawFailure(context, at.x, y, at.width, dark)
    if (box.id === hovered) drawFrame(context, at.x, y, at.width, dark)
    if (at.width > ROOM_FOR_TEXT) drawText(context, box, at.x, y, at.width, dark)
  }
  context.globalAlpha = 1
}

function drawFailure(context: CanvasRenderingContext2D, x: number, y: number, width: number, dark: boolean): void {
  context.fillStyle = dark ? '#ff8b80' : '#b42318'
  context.fillRect(x, y + BOX_HEIGHT - 4, Math.max(1, width - 1), 3)
}

function drawFrame(context: CanvasRenderingContext2D, x: number, y: number, width: number, dark: boolean): void {
  context.strokeStyle = dark ? '#ffffff' : '#17202c'
  context.lineWidth = 1.5
  context.strokeRect(x + 0.75, y + 0.75, Math.max(1, width - 2.5), BOX_HEIGHT - 2.5)
}

function drawText(context: CanvasRenderingContext2D, box: Box, x: number, y: number, width: number, dark: boolean): void {
  context.save()
  context.beginPath()
  context.rect(x + 4, y, width - 9, BOX_HEIGHT)
  context.clip()
  context.fillStyle = dark ? '#0e1319' : '#ffffff'
  const many = box.count > 1 ? ` ×${box.count}` : ''
  context.fillText(`${box.name}${many}  ${duration(box.total * 1e6)}`, x + 5, y + BOX_HEIGHT / 2)
  context.restore()
}

/** Return the box at a point in CSS pixels. */
export function hit(flame: Flame, zoom: Box | undefined, x: number, y: number, width: number): Box | undefined {
  const row = Math.floor(y / BOX_HEIGHT)
  return flame.boxes.findLast((box) => {
    if (box.row !== row) return false
    const at = spread(box, zoom, flame, width)
    return at !== undefined && x >= at.x && x <= at.x + at.width
  })
}
