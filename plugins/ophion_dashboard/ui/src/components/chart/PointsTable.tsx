import { useMemo } from 'react'
import { clock, type Zone } from '@/lib/time'
import { DataTable, type Column } from '../DataTable'
import { aligned, type Line } from './data'

interface Props {
  title: string
  lines: readonly Line[]
  format: (value: number) => string
  zone: Zone
  height: number
}

/** A chart's values as a table, newest first. */
export function PointsTable({ title, lines, format, zone, height }: Props) {
  const data = useMemo(() => aligned(lines), [lines])
  const rows = useMemo(() => Array.from(data[0], (_, index) => data[0].length - 1 - index), [data])
  const columns = useMemo<Column<number>[]>(
    () => [
      { id: 'time', header: 'Time', cell: (row) => clock((data[0][row] ?? 0) * 1000, zone) },
      ...lines.map((line, index) => ({
        id: line.key,
        header: line.name ?? line.key,
        number: true,
        cell: (row: number) => {
          const value = data[index + 1]?.[row]
          return value === null || value === undefined ? '' : format(value)
        },
      })),
    ],
    [data, lines, format, zone],
  )
  return <DataTable label={title} columns={columns} rows={rows} rowKey={String} maxHeight={height} />
}
