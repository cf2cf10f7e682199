import { useVirtualizer } from '@tanstack/react-virtual'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from 'react'

export interface Column<Row> {
  id: string
  header: string
  cell: (row: Row) => ReactNode
  /** What to sort by; without it the column cannot be sorted. */
  sort?: (row: Row) => number | string
  /** Numbers stand on the right. */
  number?: boolean
  width?: number | string
}

export interface Sort {
  id: string
  down: boolean
}

interface Props<Row> {
  label: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  rowKey: (row: Row) => string
  /** Called on Enter and on a click on a row. Put a link into the first cell too. */
  open?: (row: Row) => void
  initialSort?: Sort
  /** Pixels; taller tables scroll and draw only what is seen. */
  maxHeight?: number | string
  selected?: string
}

const ROW_HEIGHT = 34
const VIRTUAL_FROM = 120

/** A table that sorts by its headings, goes by arrow keys, and draws only what is seen once it is long. */
export function DataTable<Row>({ label, columns, rows, rowKey, open, initialSort, maxHeight, selected }: Props<Row>) {
  const [sort, setSort] = useState<Sort | undefined>(initialSort)
  const sorted = useMemo(() => sortRows(rows, columns, sort), [rows, columns, sort])
  const scroller = useRef<HTMLDivElement>(null)
  const isVirtual = sorted.length > VIRTUAL_FROM
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: sorted.length,
    enabled: isVirtual,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
  })
  const items = virtual.getVirtualItems()
  const first = isVirtual ? (items[0]?.index ?? 0) : 0
  const last = isVirtual ? (items.at(-1)?.index ?? -1) : sorted.length - 1
  const below = isVirtual ? (sorted.length - 1 - last) * ROW_HEIGHT : 0

  return (
    <div
      ref={scroller}
      className="table-scroll"
      style={{ maxHeight: maxHeight ?? (isVirtual ? '70vh' : undefined) }}
      tabIndex={isVirtual || maxHeight ? 0 : undefined}
      role={isVirtual || maxHeight ? 'region' : undefined}
      aria-label={isVirtual || maxHeight ? label : undefined}
    >
      <table className="table" aria-label={label} aria-rowcount={sorted.length + 1}>
        <thead>
          <tr>
            {columns.map((column) => (
              <Heading key={column.id} column={column} sort={sort} setSort={setSort} />
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={moveFocus}>
          <Gap height={first * ROW_HEIGHT} span={columns.length} />
          {sorted.slice(first, last + 1).map((row, offset) => (
            <tr
              key={rowKey(row)}
              aria-rowindex={first + offset + 2}
              aria-selected={selected === undefined ? undefined : selected === rowKey(row)}
              data-open={open ? true : undefined}
              tabIndex={open ? 0 : undefined}
              onClick={(event) => {
                if (open && !(event.target as Element).closest('a,button,input,label')) open(row)
              }}
              onKeyDown={(event) => {
                if (open && event.key === 'Enter' && event.target === event.currentTarget) open(row)
              }}
            >
              {columns.map((column) => (
                <td key={column.id} className={column.number ? 'number' : undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          <Gap height={below} span={columns.length} />
        </tbody>
      </table>
    </div>
  )
}

function Gap({ height, span }: { height: number; span: number }) {
  return height > 0 ? (
    <tr aria-hidden>
      <td colSpan={span} style={{ height, padding: 0, border: 0 }} />
    </tr>
  ) : null
}

interface HeadingProps<Row> {
  column: Column<Row>
  sort: Sort | undefined
  setSort: (sort: Sort) => void
}

function Heading<Row>({ column, sort, setSort }: HeadingProps<Row>) {
  const active = sort?.id === column.id
  const Arrow = sort?.down ? ArrowDown : ArrowUp
  const direction = active ? (sort.down ? 'descending' : 'ascending') : undefined
  return (
    <th scope="col" aria-sort={direction} className={column.number ? 'number' : undefined} style={{ width: column.width }}>
      {column.sort ? (
        <button type="button" onClick={() => setSort({ id: column.id, down: active ? !sort.down : Boolean(column.number) })}>
          {column.header}
          {active ? <Arrow size={12} aria-hidden /> : null}
        </button>
      ) : (
        column.header
      )}
    </th>
  )
}

export function sortRows<Row>(rows: readonly Row[], columns: readonly Column<Row>[], sort: Sort | undefined): readonly Row[] {
  const by = columns.find((column) => column.id === sort?.id)?.sort
  if (!by || !sort) return rows
  const direction = sort.down ? -1 : 1
  return [...rows].sort((left, right) => direction * compare(by(left), by(right)))
}

function compare(left: number | string, right: number | string): number {
  if (typeof left === 'number' && typeof right === 'number') return (Number.isNaN(left) ? -Infinity : left) - (Number.isNaN(right) ? -Infinity : right)
  return String(left).localeCompare(String(right), undefined, { numeric: true })
}

function moveFocus(event: KeyboardEvent<HTMLTableSectionElement>): void {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
  const row = (event.target as Element).closest('tr')
  const next = event.key === 'ArrowDown' ? row?.nextElementSibling : row?.previousElementSibling
  if (next instanceof HTMLElement && next.tabIndex === 0) {
    event.preventDefault()
    next.focus()
  }
}
