import { useMemo, useState } from 'react'
import { Badge, Dot } from '@/components/Badge'
import { Segments } from '@/components/Choice'
import { DataTable, type Column } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { SearchField } from '@/components/Field'
import { Meter } from '@/components/Stat'
import { nameColor } from '@/lib/colors'
import { count, duration, percent } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { findSpans } from './find'
import { byOperation, type OperationFigures } from './times'
import type { Node } from './tree'
import type { Trace } from './useTrace'

interface Props {
  trace: Trace
  select: (index: number | undefined) => void
  selected: number
  find: string
  setFind: (text: string) => void
}

const HEIGHT = 'max(340px, calc(100dvh - 320px))'

/** The spans as a table: each for itself, or what operations took together. */
export function SpansTab({ trace, select, selected, find, setFind }: Props) {
  const [form, setForm] = useState<'operations' | 'spans'>('operations')
  const { dark } = useTheme()
  const found = useMemo(() => (find ? new Set(findSpans(trace.tree, find, trace.view.resources)) : undefined), [trace, find])
  const nodes = useMemo(() => (found ? trace.tree.nodes.filter((node) => found.has(node.index)) : trace.tree.nodes), [trace, found])
  const operations = useMemo(() => byOperation({ ...trace.tree, nodes: [...nodes] }, trace.self, trace.critical), [trace, nodes])
  const total = useMemo(() => trace.self.reduce((sum, one) => sum + one, 0), [trace])
  const spanColumns = useMemo(() => columnsOfSpans(trace, dark), [trace, dark])
  const operationColumns = useMemo(() => columnsOfOperations(total, dark), [total, dark])
  return (
    <div className="column">
      <div className="row wrap">
        <Segments label="Rows of the table" value={form} set={setForm} choices={[['operations', 'By operation'], ['spans', 'Every span']]} />
        <SearchField main label="Search in this trace" value={find} set={setFind} />
        <span className="small quiet">{`${count(nodes.length)} of ${count(trace.tree.nodes.length)} spans`}</span>
      </div>
      <Panel flush>
        {form === 'spans' ? (
          <DataTable key="spans" label="Spans" columns={spanColumns} rows={nodes} rowKey={(node) => String(node.index)} open={(node) => select(node.index)} initialSort={{ id: 'self', down: true }} maxHeight={HEIGHT} selected={String(selected)} />
        ) : (
          <DataTable key="operations" label="Operations" columns={operationColumns} rows={operations} rowKey={(one) => one.key} open={(one) => select(one.example)} initialSort={{ id: 'self', down: true }} maxHeight={HEIGHT} />
        )}
      </Panel>
    </div>
  )
}

function Service({ name, dark }: { name: string; dark: boolean }) {
  return (
    <span className="row">
      <Dot color={nameColor(name, dark)} />
      <span className="ellipsis">{name}</span>
    </span>
  )
}

const ms = (value: number) => duration(value * 1e6)

function columnsOfSpans(trace: Trace, dark: boolean): Column<Node>[] {
  return [
    { id: 'service', header: 'Service', cell: (node) => <Service name={node.span.service} dark={dark} />, sort: (node) => node.span.service },
    { id: 'name', header: 'Operation', cell: (node) => node.span.name, sort: (node) => node.span.name },
    { id: 'kind', header: 'Kind', cell: (node) => node.span.kind, sort: (node) => node.span.kind },
    { id: 'start', header: 'Start', number: true, cell: (node) => `+${ms(node.start - trace.tree.start)}`, sort: (node) => node.start },
    { id: 'duration', header: 'Duration', number: true, cell: (node) => ms(node.end - node.start), sort: (node) => node.end - node.start },
    { id: 'self', header: 'Own time', number: true, cell: (node) => ms(trace.self[node.index] ?? 0), sort: (node) => trace.self[node.index] ?? 0 },
    { id: 'critical', header: 'Critical', number: true, cell: (node) => (trace.critical.has(node.index) ? ms(trace.critical.get(node.index) ?? 0) : ''), sort: (node) => trace.critical.get(node.index) ?? 0 },
    { id: 'status', header: 'Status', cell: (node) => (node.span.status === 'error' ? <Badge tone="bad">error</Badge> : node.span.status), sort: (node) => node.span.status },
  ]
}

function columnsOfOperations(total: number, dark: boolean): Column<OperationFigures>[] {
  return [
    { id: 'service', header: 'Service', cell: (one) => <Service name={one.service} dark={dark} />, sort: (one) => one.service },
    { id: 'name', header: 'Operation', cell: (one) => one.name, sort: (one) => one.name },
    { id: 'count', header: 'Spans', number: true, cell: (one) => count(one.count), sort: (one) => one.count },
    { id: 'errors', header: 'Errors', number: true, cell: (one) => (one.errors ? <Badge tone="bad">{one.errors}</Badge> : ''), sort: (one) => one.errors },
    { id: 'mean', header: 'Mean', number: true, cell: (one) => ms(one.mean), sort: (one) => one.mean },
    { id: 'longest', header: 'Longest', number: true, cell: (one) => ms(one.longest), sort: (one) => one.longest },
    { id: 'self', header: 'Own time', number: true, cell: (one) => ms(one.self), sort: (one) => one.self },
    {
      id: 'share',
      header: 'Share of own time',
      width: 150,
      cell: (one) => (
        <span className="row">
          <span className="grow">
            <Meter label={`Share of ${one.name}`} fraction={total ? one.self / total : 0} warn={2} bad={2} />
          </span>
          <span className="small">{percent(total ? one.self / total : 0)}</span>
        </span>
      ),
      sort: (one) => one.self,
    },
    { id: 'critical', header: 'Critical', number: true, cell: (one) => (one.critical ? ms(one.critical) : ''), sort: (one) => one.critical },
  ]
}
