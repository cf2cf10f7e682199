import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { SchemaOperation, SchemaService } from '@/api/client'
import { Badge, Dot } from '@/components/Badge'
import type { Column } from '@/components/DataTable'
import { nameColor } from '@/lib/colors'
import { duration, percent, rate } from '@/lib/format'
import { useTheme } from '@/shell/theme'
import { Course } from '../hosts/Cells'
import { ERRORS_WARN, healthOf, healthText, TONES } from './health'

export const ms = (value: number) => duration(value * 1e6)

/** Rate, errors and duration, of a service or an operation. */
export type Red = Pick<SchemaOperation, keyof SchemaOperation & keyof SchemaService>

/** The share of failed requests; from where it is worth a look in the colour of that. */
export function ErrorShare({ red }: { red: Pick<Red, 'rate' | 'error_rate' | 'p95_ms'> }) {
  if (red.error_rate < ERRORS_WARN) return <span className={red.error_rate ? '' : 'faint'}>{percent(red.error_rate)}</span>
  return <Badge tone={TONES[healthOf({ ...red, p95_ms: 0 })]}>{percent(red.error_rate)}</Badge>
}

/** Return the columns of rate, errors and duration that services and operations share. */
export function redColumns<Row extends Red>(): Column<Row>[] {
  return [
    { id: 'rate', header: 'Rate', number: true, sort: (one) => one.rate, cell: (one) => rate(one.rate) },
    { id: 'errors', header: 'Errors', number: true, sort: (one) => one.error_rate, cell: (one) => <ErrorShare red={one} /> },
    { id: 'p50', header: 'p50', number: true, sort: (one) => one.p50_ms, cell: (one) => ms(one.p50_ms) },
    { id: 'p95', header: 'p95', number: true, sort: (one) => one.p95_ms, cell: (one) => ms(one.p95_ms) },
    { id: 'p99', header: 'p99', number: true, sort: (one) => one.p99_ms, cell: (one) => ms(one.p99_ms) },
  ]
}

/** Return the columns of a table of services; each figure has its course beside it. */
export function useServiceColumns(): Column<SchemaService>[] {
  const { dark } = useTheme()
  return useMemo(() => {
    const [rates, errors, p50, p95, p99] = redColumns<SchemaService>()
    const course = (id: string, header: string, what: string, values: (one: SchemaService) => readonly (number | null)[] | undefined, color?: string): Column<SchemaService> => ({
      id, header, width: 100, cell: (one) => <Course label={`${what} of ${one.name} over time`} values={values(one)} width={84} color={color} />,
    })
    const columns: (Column<SchemaService> | undefined)[] = [
      {
        id: 'name', header: 'Service', sort: (one) => one.name,
        cell: (one) => (
          <span className="row">
            <Dot color={nameColor(one.name, dark)} />
            <Link to="/services/$name" params={{ name: one.name }}>{one.name}</Link>
          </span>
        ),
      },
      { id: 'health', header: 'Health', sort: (one) => ['bad', 'warn', 'ok', 'idle'].indexOf(healthOf(one)), cell: (one) => <Badge tone={TONES[healthOf(one)]}>{healthText(one)}</Badge> },
      rates, course('rates', 'Trend', 'Rate', (one) => one.trend?.rate),
      errors, course('fails', 'Trend', 'Failed share', (one) => one.trend?.error_rate.map((value) => value ?? 0), 'var(--bad)'),
      p50, p95, p99, course('slow', 'Trend', '95th percentile', (one) => one.trend?.p95_ms, 'var(--info)'),
    ]
    return columns.filter((column) => column !== undefined)
  }, [dark])
}
