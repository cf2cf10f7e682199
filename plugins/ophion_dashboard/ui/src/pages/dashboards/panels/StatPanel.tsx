import { Sparkline } from '@/components/Sparkline'
import { numeric } from '@/pages/metrics/promql/series'
import { useTheme } from '@/shell/theme'
import { thresholdColour, valueFormat } from '../model/values'
import { figures, type SeriesProps } from './props'

const MOST = 24

/** One large value for each series, with its course below. */
export function StatPanel({ panel, data, size }: SeriesProps) {
  const { dark } = useTheme()
  const all = figures(panel, data).slice(0, MOST)
  const format = valueFormat(panel.options)
  const columns = Math.max(1, Math.min(all.length, Math.floor(size.width / 130)))
  const rows = Math.ceil(all.length / columns)
  const height = size.height / Math.max(1, rows)
  const width = Math.max(40, Math.floor(size.width / columns) - 12)
  return (
    <div className="dash-stats" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
      {all.map((figure) => {
        const color = thresholdColour(figure.value, panel.options.thresholds, dark)
        const values = figure.series.points.map(([, value]) => numeric(value))
        return (
          <div key={figure.key} className="dash-stat">
            {all.length > 1 ? (
              <span className="faint small ellipsis" title={figure.name}>
                {figure.name}
              </span>
            ) : null}
            <span className="dash-stat-value ellipsis" style={{ color, fontSize: Math.max(18, Math.min(44, height * 0.34, width / 5)) }}>
              {format(figure.value)}
            </span>
            {height > 74 && values.length > 1 ? (
              <Sparkline label={`${figure.name} over time`} values={values} width={width} height={Math.min(56, Math.max(18, height * 0.32))} color={color ?? 'var(--accent)'} />
            ) : null}
          </div>
        )
      })}
    </div>
  )
}
