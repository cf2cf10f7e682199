import type { Range } from '@/lib/time'
import { fillLegend, seriesKey, seriesName, namingLabels, type Series } from '@/pages/metrics/promql/series'
import type { PanelModel } from '../model/types'
import { reduced } from '../model/values'
import type { SeriesData } from './data'
import type { Size } from './usePanel'

export interface SeriesProps {
  panel: PanelModel
  data: SeriesData
  size: Size
  range: Range
}

export interface Figure {
  key: string
  name: string
  value: number
  series: Series
}

/** Return one value for each series of a panel, with its name. */
export function figures(panel: PanelModel, data: SeriesData): Figure[] {
  return data.outcomes.flatMap((outcome, index) => {
    const telling = namingLabels(outcome.series)
    const legend = panel.queries[index]?.legend
    return outcome.series.map((series) => ({
      key: `${index}:${seriesKey(series.labels)}`,
      name: (legend && fillLegend(legend, series.labels)) || seriesName(series, outcome.series.length > 1 ? telling : [], panel.title || outcome.expression),
      value: reduced(series, panel.options.reduce),
      series,
    }))
  })
}
