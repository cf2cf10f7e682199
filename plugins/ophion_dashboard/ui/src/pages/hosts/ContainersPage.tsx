import { useNavigate, useSearch } from '@tanstack/react-router'
import { X } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import type { SchemaContainer } from '@/api/client'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { bytes, count, duration, short } from '@/lib/format'
import { Course, Figure, Share } from './Cells'
import { useContainerCourse, useContainers, type Course as Courses } from './data'
import { ContainerLink, HostLink, ServiceNames } from './Names'

export default function ContainersPage() {
  const { search, host, service } = useSearch({ from: '/containers' })
  const navigate = useNavigate()
  const containers = useContainers({ search, host, service })
  const courses = useContainerCourse()
  const columns = useMemo(() => containerColumns(courses), [courses])
  const change = useCallback((next: object) => void navigate({ to: '.', search: ((before: object) => ({ ...before, ...next })) as never, replace: true }), [navigate])
  const find = useCallback((text: string) => change({ search: text || undefined }), [change])
  return (
    <Page title="Containers" beside={containers.data ? <span className="faint">{count(containers.data.length)}</span> : null}>
      <div className="hosts-filters">
        <SearchField main label="Find containers by name, image or service" value={search ?? ''} set={find} />
        {host ? <Button onPress={() => change({ host: undefined })}>host {host} <X size={13} aria-label="remove" /></Button> : null}
        {service ? <Button onPress={() => change({ service: undefined })}>service {service} <X size={13} aria-label="remove" /></Button> : null}
      </div>
      <Panel flush>
        <Loaded query={containers} height={240} isEmpty={(all) => all.length === 0} empty={<NoContainers filtered={Boolean(search || host || service)} />}>
          {(all) => (
            <DataTable
              label="Containers"
              columns={columns}
              rows={all}
              rowKey={(one) => `${one.name} ${one.host}`}
              initialSort={{ id: 'name', down: false }}
              open={(one) => void navigate({ to: '/containers/$name', params: { name: one.name }, search: { host: one.host || undefined } as never })}
            />
          )}
        </Loaded>
      </Panel>
    </Page>
  )
}

function NoContainers({ filtered }: { filtered: boolean }) {
  return filtered ? (
    <Empty title="No container fits">Search for less, or choose a longer time range.</Empty>
  ) : (
    <Empty title="No container has sent anything in this time range">
      An agent with the receivers <code>docker_stats</code> and <code>docker_logs</code> sees all containers of its host.
    </Empty>
  )
}

export function containerColumns(courses: Courses): Column<SchemaContainer>[] {
  const least = (value: number | null | undefined) => value ?? -1
  const perSecond = (value: number) => `${bytes(value)}/s`
  return [
    { id: 'name', header: 'Container', cell: (one) => <ContainerLink name={one.name} host={one.host} />, sort: (one) => one.name },
    { id: 'cpu', header: 'CPU, cores', number: true, sort: (one) => least(one.figures.cpu_cores), cell: (one) => <Figure value={one.figures.cpu_cores} format={short} /> },
    { id: 'course', header: 'CPU over time', width: 130, cell: (one) => <Course label={`CPU of ${one.name} over time, now ${short(one.figures.cpu_cores ?? Number.NaN)} cores`} values={courses.get(one.name)} /> },
    {
      id: 'memory', header: 'Memory of its limit', width: 170, sort: (one) => least(one.figures.memory_used_bytes),
      cell: (one) => <Share label={`Memory of ${one.name}`} fraction={one.figures.memory_utilization} text={bytes(one.figures.memory_used_bytes ?? Number.NaN)} />,
    },
    { id: 'in', header: 'Received', number: true, sort: (one) => least(one.figures.received_bytes_per_second), cell: (one) => <Figure value={one.figures.received_bytes_per_second} format={perSecond} /> },
    { id: 'out', header: 'Sent', number: true, sort: (one) => least(one.figures.sent_bytes_per_second), cell: (one) => <Figure value={one.figures.sent_bytes_per_second} format={perSecond} /> },
    { id: 'restarts', header: 'Restarts', number: true, sort: (one) => least(one.figures.restarts), cell: (one) => <Figure value={one.figures.restarts} format={count} /> },
    { id: 'uptime', header: 'Uptime', number: true, sort: (one) => least(one.figures.uptime_seconds), cell: (one) => <Figure value={one.figures.uptime_seconds} format={(seconds) => duration(seconds * 1e9)} /> },
    { id: 'image', header: 'Image', sort: (one) => one.image, cell: (one) => one.image || <span className="faint">-</span> },
    { id: 'host', header: 'Host', sort: (one) => one.host, cell: (one) => <HostLink name={one.host} /> },
    { id: 'services', header: 'Services', sort: (one) => one.services.length, cell: (one) => <ServiceNames names={one.services} most={2} /> },
  ]
}
