import type { Metrics } from './MetricPanel'
import { eitherWay, mirrored, quoted, windowOf, type Labels } from './promql'

const label = (name: string) => (labels: Labels) => labels[name] || name
// Loop devices and pseudo file systems say nothing of a host.
const REAL_DISKS = 'device!~"loop.*|ram.*|sr.*"'
const REAL_NETWORKS = 'device!~"lo|veth.*|br-.*|docker.*|ifb.*|dummy.*|cni.*|cali.*|flannel.*"'

/** Return the charts of a host, in the order in which one looks at them. */
export function hostMetrics(name: string): Metrics[] {
  return [...load(name), ...disks(name), ...rest(name)]
}

function load(name: string): Metrics[] {
  const host = `host_name=${quoted(name)}`
  const cpu = (step: number) => `rate(system_cpu_time_seconds_total{${host}}[${windowOf(step)}])`
  return [
    {
      title: 'CPU by state',
      queries: (step) => [{ query: `sum by (state) (${cpu(step)}) / on () group_left () sum(${cpu(step)})`, name: label('state') }],
      change: (lines) => lines.filter((line) => line.name !== 'idle'),
      unit: 'percent', drawn: 'area', stacked: true, min: 0, max: 1,
      empty: 'The agent of this host sends no CPU times: its hostmetrics receiver needs the scraper cpu.',
    },
    {
      title: 'Memory by state',
      queries: () => [{ query: `sum by (state) (system_memory_usage_bytes{${host}})`, name: label('state') }],
      unit: 'By', drawn: 'area', stacked: true,
      empty: 'The agent of this host sends no memory figures: its hostmetrics receiver needs the scraper memory.',
    },
    {
      title: 'Load',
      queries: () => [1, 5, 15].map((minutes) => ({ query: `max(system_cpu_load_average_${minutes}m{${host}})`, name: `${minutes} min` })),
      unit: '1', min: 0,
      empty: 'The agent of this host sends no load averages: its hostmetrics receiver needs the scraper load.',
    },
    {
      title: 'Network',
      queries: (step) => [
        { query: `sum by (device) (rate(system_network_io_bytes_total{${host}, direction="receive", ${REAL_NETWORKS}}[${windowOf(step)}]))`, name: (labels) => `${labels.device ?? ''} in` },
        { query: `sum by (device) (rate(system_network_io_bytes_total{${host}, direction="transmit", ${REAL_NETWORKS}}[${windowOf(step)}]))`, name: (labels) => `${labels.device ?? ''} out` },
      ],
      change: (lines) => lines.map((line) => (line.name?.endsWith(' out') ? mirrored(line) : line)),
      unit: 'By/s', format: eitherWay,
      empty: 'The agent of this host sends no network figures: its hostmetrics receiver needs the scraper network.',
    },
  ]
}

function disks(name: string): Metrics[] {
  const host = `host_name=${quoted(name)}`
  const empty = 'The agent of this host sends no disk figures: its hostmetrics receiver needs the scraper disk.'
  return [
    {
      title: 'Disk reads and writes',
      queries: (step) => ['read', 'write'].map((direction) => ({
        query: `sum by (device) (rate(system_disk_io_bytes_total{${host}, direction="${direction}", ${REAL_DISKS}}[${windowOf(step)}]))`,
        name: (labels) => `${labels.device ?? ''} ${direction}`,
      })),
      change: (lines) => lines.map((line) => (line.name?.endsWith(' write') ? mirrored(line) : line)),
      unit: 'By/s', format: eitherWay, empty,
    },
    {
      title: 'Disk utilisation',
      queries: (step) => [{ query: `sum by (device) (rate(system_disk_io_time_seconds_total{${host}, ${REAL_DISKS}}[${windowOf(step)}]))`, name: label('device') }],
      unit: 'percent', min: 0, empty,
    },
    {
      title: 'File systems, used share',
      queries: () => [{
        query: `sum by (mountpoint) (system_filesystem_usage_bytes{${host}, state="used"}) / sum by (mountpoint) (system_filesystem_usage_bytes{${host}})`,
        name: label('mountpoint'),
      }],
      unit: 'percent', min: 0, max: 1,
      empty: 'The agent of this host sends no file systems: its hostmetrics receiver needs the scraper filesystem.',
    },
  ]
}

function rest(name: string): Metrics[] {
  const host = `host_name=${quoted(name)}`
  const processes = 'The agent of this host sends no processes: its hostmetrics receiver needs the scraper processes.'
  return [
    {
      title: 'Network errors and drops',
      queries: (step) => ['errors', 'dropped'].map((kind) => ({
        query: `sum by (direction) (rate(system_network_${kind}_total{${host}}[${windowOf(step)}]))`,
        name: (labels) => `${kind} ${labels.direction ?? ''}`,
      })),
      unit: '/s', min: 0, empty: 'The agent of this host sends no network errors: its hostmetrics receiver needs the scraper network.',
    },
    {
      title: 'Paging',
      queries: (step) => [{ query: `sum by (direction, type) (rate(system_paging_operations_total{${host}}[${windowOf(step)}]))`, name: (labels) => [labels.type, labels.direction].filter(Boolean).join(' ') }],
      unit: '/s', min: 0, empty: 'The agent of this host sends no paging figures: its hostmetrics receiver needs the scraper paging.',
    },
    {
      title: 'Processes',
      queries: () => [{ query: `sum by (status) (system_processes_count{${host}})`, name: label('status') }],
      unit: '1', drawn: 'area', stacked: true, min: 0, empty: processes,
    },
    {
      title: 'Processes created',
      queries: (step) => [{ query: `sum(rate(system_processes_created_total{${host}}[${windowOf(step)}]))`, name: 'created' }],
      unit: '/s', min: 0, empty: processes,
    },
    {
      title: 'Uptime',
      queries: () => [{ query: `max(system_uptime_seconds{${host}}) / 86400`, name: 'uptime' }],
      unit: 'days', min: 0, empty: 'The agent of this host sends no uptime: its hostmetrics receiver needs the scraper system.',
    },
  ]
}
