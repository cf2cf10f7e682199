import { useMemo } from 'react'
import { Dot } from '@/components/Badge'
import { summarise, type Line } from '@/components/chart/data'
import { TimeSeries } from '@/components/chart/TimeSeries'
import { seriesColor } from '@/lib/colors'
import { percent } from '@/lib/format'
import { toLines, withGaps } from '@/pages/metrics/promql/series'
import { useTheme } from '@/shell/theme'
import { colour, shares, valueFormat, zeroFilled } from '../model/values'
import type { SeriesProps } from './props'

const TABLE_HEIGHT = 92

/** Values over time. */
export function TimeSeriesPanel({ panel, data, size, range }: SeriesProps) {
  const { dark } = useTheme()
  const { options } = panel
  const lines = useMemo(() => panelLines({ panel, data, size, range }), [panel, data, size, range])
  const isShare = options.stacking === 'percent'
  const format = useMemo(() => (isShare ? percent : valueFormat(options)), [isShare, options])
  const thresholds = useMemo(
    () => options.thresholds.flatMap(({ value, color }) => (value === null ? [] : [{ value, color: colour(color, dark) }])),
    [options.thresholds, dark],
  )
  const below = options.legend === 'hidden' ? 0 : options.legend === 'table' ? TABLE_HEIGHT : lines.length > 3 ? 52 : 28
  return (
    <>
      <TimeSeries
        title={panel.title || 'Panel'}
        lines={lines}
        unit={isShare ? undefined : options.unit}
        format={format}
        drawn={options.fill > 0 || options.stacking !== 'none' ? 'area' : 'line'}
        stacked={options.stacking !== 'none'}
        height={Math.max(60, size.height - below)}
        min={options.min ?? undefined}
        max={options.max ?? (isShare ? 1 : undefined)}
        thresholds={thresholds}
        legend={options.legend === 'list'}
      />
      {options.legend === 'table' ? <LegendTable title={panel.title} lines={lines} format={format} dark={dark} /> : null}
    </>
  )
}

function panelLines({ panel, data, range }: SeriesProps): Line[] {
  const { lines } = toLines(
    data.outcomes.map((outcome, index) => ({
      letter: String.fromCharCode(65 + index),
      expression: outcome.expression,
      series: outcome.series,
      legend: panel.queries[index]?.legend,
    })),
  )
  const { nulls, stacking } = panel.options
  const whole = nulls === 'zero' ? zeroFilled(lines, range.start / 1000, range.end / 1000, data.step) : nulls === 'gap' ? withGaps(lines, data.step) : lines
  return stacking === 'percent' ? shares(whole) : whole
}

interface TableProps {
  title: string
  lines: readonly Line[]
  format: (value: number) => string
  dark: boolean
}

function LegendTable({ title, lines, format, dark }: TableProps) {
  const text = (value: number | null) => (value === null ? '' : format(value))
  return (
    <div className="dash-legend" style={{ height: TABLE_HEIGHT }} tabIndex={0} role="region" aria-label={`Legend of ${title}`}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Series</th>
            {['Last', 'Min', 'Mean', 'Max'].map((name) => (
              <th key={name} scope="col" className="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.slice(0, 100).map((line, index) => {
            const { last, low, mean, high } = summarise(line.points)
            return (
              <tr key={line.key}>
                <td>
                  <span className="row">
                    <Dot color={line.color ?? seriesColor(index, dark)} />
                    <span className="ellipsis">{line.name ?? line.key}</span>
                  </span>
                </td>
                {[last, low, mean, high].map((value, at) => (
                  <td key={at} className="number">
                    {text(value)}
                  </td>
                ))}
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}
