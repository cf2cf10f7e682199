import type { Metrics } from './MetricPanel'
import { eitherWay, mirrored, windowOf } from './promql'

const EMPTY = 'No agent sends these figures of this container: the receiver docker_stats does.'

/** Return the charts of a container; `selector` is that of the API, such as `{container_name="shop-1"}`. */
export function containerMetrics(selector: string): Metrics[] {
  const rate = (metric: string, step: number) => `rate(${metric}${selector}[${windowOf(step)}])`
  const within = (condition: string) => selector.replace(/\}$/, `, ${condition}}`)
  return [
    {
      title: 'CPU',
      queries: (step) => [
        { query: `sum(${rate('container_cpu_usage_usermode_nanoseconds_total', step)}) / 1e9`, name: 'user' },
        { query: `sum(${rate('container_cpu_usage_kernelmode_nanoseconds_total', step)}) / 1e9`, name: 'kernel' },
      ],
      unit: 'cores', drawn: 'area', stacked: true, min: 0, empty: EMPTY,
    },
    {
      title: 'Memory',
      queries: () => [
        { query: `sum(container_memory_usage_total_bytes${selector})`, name: 'used' },
        { query: `sum(container_memory_file_bytes${selector})`, name: 'file cache' },
        { query: `max(container_memory_usage_limit_bytes${selector})`, name: 'limit' },
      ],
      unit: 'By', min: 0, empty: EMPTY,
    },
    {
      title: 'Network',
      queries: (step) => [
        { query: `sum by (interface) (${rate('container_network_io_usage_rx_bytes_total', step)})`, name: (labels) => `${labels.interface ?? ''} in` },
        { query: `sum by (interface) (${rate('container_network_io_usage_tx_bytes_total', step)})`, name: (labels) => `${labels.interface ?? ''} out` },
      ],
      change: (lines) => lines.map((line) => (line.name?.endsWith(' out') ? mirrored(line) : line)),
      unit: 'By/s', format: eitherWay, empty: EMPTY,
    },
    {
      title: 'Block I/O',
      queries: (step) => ['read', 'write'].map((operation) => ({
        query: `sum(rate(container_blockio_io_service_bytes_recursive_total${within(`operation="${operation}"`)}[${windowOf(step)}]))`,
        name: operation,
      })),
      change: (lines) => lines.map((line) => (line.name === 'write' ? mirrored(line) : line)),
      unit: 'By/s', format: eitherWay, empty: EMPTY,
    },
    {
      title: 'Packets dropped',
      queries: (step) => [
        { query: `sum(${rate('container_network_io_usage_rx_dropped_total', step)})`, name: 'in' },
        { query: `sum(${rate('container_network_io_usage_tx_dropped_total', step)})`, name: 'out' },
      ],
      unit: '/s', min: 0, empty: EMPTY,
    },
    {
      title: 'Processes and threads',
      queries: () => [{ query: `sum(container_pids_count${selector})`, name: 'pids' }],
      unit: '1', min: 0, empty: 'The agent leaves container.pids.count out by default; docker_stats can be told to send it.',
    },
    {
      title: 'Restarts',
      queries: () => [{ query: `max(container_restarts_total${selector})`, name: 'restarts' }],
      unit: '1', min: 0, empty: 'The agent leaves container.restarts out by default; docker_stats can be told to send it.',
    },
    {
      title: 'Uptime',
      queries: () => [{ query: `max(container_uptime_seconds${selector}) / 86400`, name: 'uptime' }],
      unit: 'days', min: 0, empty: 'The agent leaves container.uptime out by default; docker_stats can be told to send it.',
    },
  ]
}
