import type { SchemaMetric } from '@/api/client'

export interface MetricGroup {
  name: string
  metrics: SchemaMetric[]
}

/** Return metrics in groups by the first words of their names: two where a group would be large. */
export function grouped(metrics: readonly SchemaMetric[], large = 40): MetricGroup[] {
  return groupedBy(metrics, 1).flatMap((group) => (group.metrics.length > large ? groupedBy(group.metrics, 2) : [group]))
}

function groupedBy(metrics: readonly SchemaMetric[], words: number): MetricGroup[] {
  const groups = new Map<string, SchemaMetric[]>()
  for (const metric of metrics) {
    const name = metric.name.split(/[_.:]/).slice(0, words).join('_')
    const group = groups.get(name)
    if (group) group.push(metric)
    else groups.set(name, [metric])
  }
  return [...groups].map(([name, list]) => ({ name, metrics: list })).sort((left, right) => left.name.localeCompare(right.name))
}

export function kindAndUnit({ type, unit }: Pick<SchemaMetric, 'type' | 'unit'>): string {
  return [type === 'unknown' ? '' : type, unit.replace(/\{[^}]*\}/g, '')].filter(Boolean).join(' · ')
}
