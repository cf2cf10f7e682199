import { describe, expect, it } from 'vitest'
import { sortRows, type Column } from './DataTable'

interface Row {
  name: string
  value: number
}

const COLUMNS: Column<Row>[] = [
  { id: 'name', header: 'Name', cell: (row) => row.name, sort: (row) => row.name },
  { id: 'value', header: 'Value', cell: (row) => row.value, sort: (row) => row.value },
]

describe('sortRows', () => {
  it('sorts numbers as numbers and names as people do', () => {
    const rows = [{ name: 'host-10', value: 2 }, { name: 'host-9', value: 10 }, { name: 'host-1', value: Number.NaN }]
    expect(sortRows(rows, COLUMNS, { id: 'name', down: false }).map((row) => row.name)).toEqual(['host-1', 'host-9', 'host-10'])
    expect(sortRows(rows, COLUMNS, { id: 'value', down: true }).map((row) => row.value)).toEqual([10, 2, Number.NaN])
    expect(sortRows(rows, COLUMNS, undefined)).toBe(rows)
  })
})
