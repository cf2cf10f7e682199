import { seriesColor } from '@/lib/colors'
import { useTheme } from '@/shell/theme'
import { thresholdColour, valueFormat } from '../model/values'
import { figures, type SeriesProps } from './props'

/** A bar for each series, the longest first. */
export function BarPanel({ panel, data }: SeriesProps) {
  const { dark } = useTheme()
  const format = valueFormat(panel.options)
  const all = figures(panel, data)
    .filter((figure) => Number.isFinite(figure.value))
    .sort((left, right) => right.value - left.value)
    .slice(0, panel.options.limit)
  const low = panel.options.min ?? Math.min(0, ...all.map((figure) => figure.value))
  const high = panel.options.max ?? Math.max(...all.map((figure) => figure.value), low + Number.EPSILON)
  return (
    <ul className="dash-bars" tabIndex={0} aria-label={`Bars of ${panel.title || 'the panel'}`}>
      {all.map((figure) => (
        <li key={figure.key}>
          <span className="ellipsis" title={figure.name}>
            {figure.name}
          </span>
          <span className="dash-bar" aria-hidden>
            <span
              style={{
                width: `${Math.min(100, Math.max(0.5, ((figure.value - low) / (high - low || 1)) * 100))}%`,
                background: thresholdColour(figure.value, panel.options.thresholds, dark) ?? seriesColor(0, dark),
              }}
            />
          </span>
          <b>{format(figure.value)}</b>
        </li>
      ))}
    </ul>
  )
}
