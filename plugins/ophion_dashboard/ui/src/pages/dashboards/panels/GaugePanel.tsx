import { useTheme } from '@/shell/theme'
import type { PanelOptions } from '../model/types'
import { thresholdColour, valueFormat } from '../model/values'
import { figures, type Figure, type SeriesProps } from './props'

const MOST = 12
const RADIUS = 42
const SWEEP = (240 / 360) * 2 * Math.PI * RADIUS

/** Values between the ends of a scale. */
export function GaugePanel({ panel, data, size }: SeriesProps) {
  const all = figures(panel, data).slice(0, MOST)
  const columns = Math.max(1, Math.min(all.length, Math.floor(size.width / 120)))
  const rows = Math.max(1, Math.ceil(all.length / columns))
  return (
    <div className="dash-stats" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
      {all.map((figure) => (
        <Gauge key={figure.key} figure={figure} options={panel.options} height={size.height / rows - 8} named={all.length > 1} />
      ))}
    </div>
  )
}

/** Return the ends of the scale: percentages and shares have theirs. */
export function scaleOf({ min, max, unit }: PanelOptions, value: number): [number, number] {
  const low = min ?? Math.min(0, value)
  const usual = unit === 'percent' || unit === '%1' ? 1 : unit === '%' ? 100 : Math.max(value * 1.25, low + 1)
  return [low, max ?? usual]
}

function Gauge({ figure, options, height, named }: { figure: Figure; options: PanelOptions; height: number; named: boolean }) {
  const { dark } = useTheme()
  const [low, high] = scaleOf(options, figure.value)
  const part = Number.isFinite(figure.value) ? Math.min(1, Math.max(0, (figure.value - low) / (high - low))) : 0
  const color = thresholdColour(figure.value, options.thresholds, dark) ?? 'var(--accent)'
  const text = valueFormat(options)(figure.value)
  const room = named ? height - 18 : height
  return (
    <div className="dash-stat centred">
      <svg role="img" aria-label={`${figure.name}: ${text}`} viewBox="0 0 100 84" height={Math.max(40, room)} className="dash-gauge">
        <circle cx={50} cy={50} r={RADIUS} className="dash-gauge-back" strokeDasharray={`${SWEEP} 999`} transform="rotate(150 50 50)" />
        <circle cx={50} cy={50} r={RADIUS} stroke={color} strokeDasharray={`${SWEEP * part} 999`} transform="rotate(150 50 50)" />
        <text x={50} y={55} textAnchor="middle" fontSize={text.length > 7 ? 13 : 17}>
          {text}
        </text>
      </svg>
      {named ? <span className="faint small ellipsis">{figure.name}</span> : null}
    </div>
  )
}
