import { useNavigate } from '@tanstack/react-router'
import { DataTable } from '@/components/DataTable'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { useServices } from '../services/data'
import { useServiceColumns } from '../services/columns'

/** The services of a host or container with their figures, the busiest first. */
export function ServicesOf({ title, names }: { title: string; names: readonly string[] }) {
  const services = useServices()
  const columns = useServiceColumns()
  const navigate = useNavigate()
  return (
    <Panel title={title} flush>
      <Loaded
        query={services}
        height={120}
        isEmpty={(all) => !all.some((one) => names.includes(one.name))}
        empty={<Empty title="No services">Nothing that runs here has sent spans in this time range.</Empty>}
      >
        {(all) => (
          <DataTable
            label={title}
            columns={columns}
            rows={all.filter((one) => names.includes(one.name))}
            rowKey={(one) => one.name}
            initialSort={{ id: 'rate', down: true }}
            open={(one) => void navigate({ to: '/services/$name', params: { name: one.name } })}
          />
        )}
      </Loaded>
    </Panel>
  )
}
