import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { answer, api, type SchemaTenantAnswer } from '@/api/client'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { Loaded } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { RemoveTenant } from './RemoveTenant'
import { RetentionForm } from './RetentionForm'

/** Tenants see nothing of one another; each may keep its telemetry for a time of its own. */
export function Tenants() {
  const client = useQueryClient()
  const [adding, setAdding] = useState(false)
  const [changing, setChanging] = useState<SchemaTenantAnswer>()
  const [removing, setRemoving] = useState<string>()
  const query = useQuery({ queryKey: ['tenants'], queryFn: () => answer(api.GET('/api/tenants')) })
  const done = () => {
    setAdding(false)
    setChanging(undefined)
    setRemoving(undefined)
    void client.invalidateQueries({ queryKey: ['tenants'] })
  }
  const days = (value: number | null) => (value === null ? 'as the store' : `${value} d`)
  const columns: Column<SchemaTenantAnswer>[] = [
    { id: 'name', header: 'Tenant', cell: (tenant) => tenant.name, sort: (tenant) => tenant.name },
    { id: 'traces', header: 'Traces', number: true, cell: (tenant) => days(tenant.traces_days) },
    { id: 'logs', header: 'Logs', number: true, cell: (tenant) => days(tenant.logs_days) },
    { id: 'metrics', header: 'Metrics', number: true, cell: (tenant) => days(tenant.metrics_days) },
    {
      id: 'actions',
      header: 'Actions',
      cell: (tenant) => (
        <div className="row">
          <Button aria-label={`Change the retention of ${tenant.name}`} onPress={() => setChanging(tenant)}>
            Retention
          </Button>
          {tenant.name === 'default' ? null : (
            <Button kind="danger" aria-label={`Remove ${tenant.name}`} onPress={() => setRemoving(tenant.name)}>
              Remove
            </Button>
          )}
        </div>
      ),
    },
  ]
  return (
    <Panel
      flush
      title="Tenants and retention"
      actions={
        <Button kind="primary" onPress={() => setAdding(true)}>
          <Plus size={15} aria-hidden /> New tenant
        </Button>
      }
    >
      <Loaded query={query}>{(tenants) => <DataTable label="Tenants" columns={columns} rows={tenants} rowKey={(tenant) => tenant.name} initialSort={{ id: 'name', down: false }} />}</Loaded>
      {adding ? <NewTenant close={() => setAdding(false)} done={done} /> : null}
      {changing ? <RetentionForm tenant={changing} close={() => setChanging(undefined)} done={done} /> : null}
      {removing ? <RemoveTenant name={removing} close={() => setRemoving(undefined)} done={done} /> : null}
    </Panel>
  )
}

function NewTenant({ close, done }: { close: () => void; done: () => void }) {
  const say = useSay()
  const [name, setName] = useState('')
  const create = useMutation({
    mutationFn: () => answer(api.POST('/api/tenants', { body: { name } as never })),
    onSuccess() {
      say.done(`${name} was added. Make it an ingest key to send with.`)
      done()
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate()
  }
  return (
    <Dialog title="New tenant" open close={close}>
      <form className="column" onSubmit={submit}>
        <TextField label="Name" required autoFocus pattern="[a-z][a-z0-9_]{0,39}" hint="a-z, 0-9 and _, beginning with a letter" wrong={create.error?.message} value={name} onChange={(event) => setName(event.target.value)} />
        <Button type="submit" kind="primary" isDisabled={create.isPending}>
          Add the tenant
        </Button>
      </form>
    </Dialog>
  )
}
