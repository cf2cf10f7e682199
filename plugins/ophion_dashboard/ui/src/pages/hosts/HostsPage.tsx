import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'
import type { SchemaHost } from '@/api/client'
import { DataTable, type Column } from '@/components/DataTable'
import { SearchField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { count, percent, short } from '@/lib/format'
import { Course, Figure, Share } from './Cells'
import { useHostCourse, useHosts, type Course as Courses } from './data'
import { HostLink, ServiceNames } from './Names'

export default function HostsPage() {
  const { search = '' } = useSearch({ from: '/hosts' })
  const navigate = useNavigate()
  const hosts = useHosts(search)
  const courses = useHostCourse()
  const columns = useMemo(() => hostColumns(courses), [courses])
  const find = useCallback((text: string) => void navigate({ to: '.', search: ((before: object) => ({ ...before, search: text || undefined })) as never, replace: true }), [navigate])
  return (
    <Page title="Hosts" beside={hosts.data ? <span className="faint">{count(hosts.data.length)}</span> : null}>
      <div className="hosts-filters">
        <SearchField main label="Find hosts by name" value={search} set={find} />
      </div>
      <Panel flush>
        <Loaded query={hosts} height={240} isEmpty={(all) => all.length === 0} empty={<NoHosts search={search} />}>
          {(all) => (
            <DataTable
              label="Hosts"
              columns={columns}
              rows={all}
              rowKey={(host) => host.name}
              initialSort={{ id: 'name', down: false }}
              open={(host) => void navigate({ to: '/hosts/$name', params: { name: host.name } })}
            />
          )}
        </Loaded>
      </Panel>
    </Page>
  )
}

function NoHosts({ search }: { search: string }) {
  return search ? (
    <Empty title={`No host has “${search}” in its name`}>Search for less, or choose a longer time range.</Empty>
  ) : (
    <Empty title="No host has sent anything in this time range">
      Run an agent with the receiver <code>hostmetrics</code> on a host, or choose a longer time range.
    </Empty>
  )
}

export function hostColumns(courses: Courses): Column<SchemaHost>[] {
  const least = (value: number | null | undefined) => value ?? -1
  return [
    { id: 'name', header: 'Host', cell: (host) => <HostLink name={host.name} />, sort: (host) => host.name },
    {
      id: 'cpu', header: 'CPU', width: 170, sort: (host) => least(host.figures.cpu_utilization),
      cell: (host) => <Share label={`CPU of ${host.name}`} fraction={host.figures.cpu_utilization} />,
    },
    {
      id: 'course', header: 'CPU over time', width: 130,
      cell: (host) => <Course label={`CPU of ${host.name} over time, now ${percent(host.figures.cpu_utilization ?? Number.NaN)}`} values={courses.get(host.name)} />,
    },
    {
      id: 'memory', header: 'Memory', width: 170, sort: (host) => least(host.figures.memory_utilization),
      cell: (host) => <Share label={`Memory of ${host.name}`} fraction={host.figures.memory_utilization} />,
    },
    {
      id: 'disk', header: 'Fullest disk', width: 170, sort: (host) => least(host.figures.filesystems[0]?.utilization),
      cell: (host) => <Share label={`Fullest file system of ${host.name}: ${host.figures.filesystems[0]?.mountpoint ?? ''}`} fraction={host.figures.filesystems[0]?.utilization} />,
    },
    { id: 'load', header: 'Load, 1 min', number: true, sort: (host) => least(host.figures.load_1m), cell: (host) => <Figure value={host.figures.load_1m} format={short} /> },
    { id: 'services', header: 'Services', sort: (host) => host.services.length, cell: (host) => <ServiceNames names={host.services} /> },
  ]
}
