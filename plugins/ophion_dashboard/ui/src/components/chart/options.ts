import uPlot from 'uplot'
import { seriesColor } from '@/lib/colors'
import { axisTime, type Zone } from '@/lib/time'
import type { Drawn, Line } from './data'

export interface Look {
  dark: boolean
  zone: Zone
  drawn: Drawn
  stacked: boolean
  format: (value: number) => string
  /** The axis goes in steps of powers of two, as bytes are written. */
  binary?: boolean
  min?: number
  max?: number
  width: number
  height: number
  range: readonly [number, number]
}

const BINARY_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power)
/** Fading all lines but the one under the pointer draws every point again. */
const MOST_FADED = 20_000
const AXIS_FONT = '11px system-ui, sans-serif'
const SYNC = 'ophion'

export function chartOptions(lines: readonly Line[], shown: readonly boolean[], look: Look): uPlot.Options {
  const ink = look.dark ? '#95a2b2' : '#5f6b7a'
  const grid = { stroke: look.dark ? '#232c37' : '#e8ebef', width: 1 }
  return {
    width: look.width,
    height: look.height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, focus: { prox: 24 } },
    focus: { alpha: lines.reduce((sum, line) => sum + line.points.length, 0) > MOST_FADED ? 1 : 0.35 },
    tzDate: look.zone === 'utc' ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC') : undefined,
    scales: {
      x: { range: [look.range[0], look.range[1]] },
      y: { range: (_plot, low, high) => valueRange(low, high, look) },
    },
    axes: [
      {
        stroke: ink,
        font: AXIS_FONT,
        grid,
        ticks: { show: false },
        size: 24,
        space: 76,
        values: (_plot, splits, _axis, _space, step) => splits.map((seconds, at) => axisTime(seconds, splits[at - 1], step, look.zone)),
      },
      {
        stroke: ink,
        font: AXIS_FONT,
        grid,
        ticks: { show: false },
        size: (plot, values) => Math.max(34, 14 + Math.max(0, ...(values ?? []).map((one) => plot.ctx.measureText(one).width / devicePixelRatio))),
        values: (_plot, values) => values.map(look.format),
        incrs: look.binary ? BINARY_STEPS : undefined,
        space: 32,
      },
    ],
    series: [{}, ...lines.map((line, index) => lineOptions(line, index, shown[index] !== false, look))],
    bands: look.stacked && look.drawn !== 'bars' ? bands(lines.length, shown) : undefined,
  }
}

function lineOptions(line: Line, index: number, show: boolean, look: Look): uPlot.Series {
  const color = line.color ?? seriesColor(index, look.dark)
  const bars = look.drawn === 'bars' ? uPlot.paths.bars?.({ size: [0.85, 40], align: 1 }) : undefined
  return {
    label: line.name ?? line.key,
    show,
    stroke: color,
    width: look.drawn === 'bars' ? 0 : 1.5,
    fill: look.drawn === 'line' ? undefined : look.drawn === 'bars' ? color : `${color}38`,
    points: { show: line.points.length === 1 },
    ...(bars ? { paths: bars } : {}),
  }
}

/** Stacked areas are filled down to the line below them. */
function bands(count: number, shown: readonly boolean[]): uPlot.Band[] {
  const visible = Array.from({ length: count }, (_, index) => index).filter((index) => shown[index] !== false)
  return visible.slice(1).map((index, at) => ({ series: [index + 1, (visible[at] ?? 0) + 1] as [number, number] }))
}

export function valueRange(low: number | null, high: number | null, look: Pick<Look, 'min' | 'max'>): [number, number] {
  const least = look.min ?? Math.min(0, low ?? 0)
  const most = look.max ?? (high ?? 1)
  if (least === most) return [least, least + 1]
  return [least, look.max ?? most + (most - least) * 0.08]
}
