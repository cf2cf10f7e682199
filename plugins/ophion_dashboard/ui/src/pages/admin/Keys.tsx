import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { useState } from 'react'
import { answer, api, type SchemaKeyAnswer } from '@/api/client'
import { Badge } from '@/components/Badge'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { Confirm } from '@/components/Dialog'
import { Panel } from '@/components/Panel'
import { Empty, Loaded } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'
import { NewKey } from './NewKey'
import { Secret } from './Secret'

/** Keys of programs: one's own, and all of the tenant's for admins. */
export function Keys() {
  const client = useQueryClient()
  const say = useSay()
  const { zone } = useTime()
  const [adding, setAdding] = useState(false)
  const [revoking, setRevoking] = useState<SchemaKeyAnswer>()
  const [secret, setSecret] = useState<string>()
  const query = useQuery({ queryKey: ['keys'], queryFn: () => answer(api.GET('/api/keys')) })
  const revoke = useMutation({
    mutationFn: (id: string) => answer(api.DELETE('/api/keys/{id}', { params: { path: { id } } })),
    async onSuccess() {
      say.done('The key was revoked.')
      await client.invalidateQueries({ queryKey: ['keys'] })
    },
    onError: say.failed,
    onSettled: () => setRevoking(undefined),
  })
  const moment = (time: string | null) => (time ? clock(Date.parse(time), zone) : 'never')
  const columns: Column<SchemaKeyAnswer>[] = [
    { id: 'name', header: 'Name', cell: (key) => key.name, sort: (key) => key.name },
    { id: 'kind', header: 'Kind', cell: (key) => <Badge tone={key.kind === 'ingest' ? 'info' : 'plain'}>{key.kind}</Badge>, sort: (key) => key.kind },
    { id: 'scopes', header: 'May', cell: (key) => key.scopes.join(', ') },
    { id: 'by', header: 'Made by', cell: (key) => key.created_by, sort: (key) => key.created_by },
    { id: 'made', header: 'Made', cell: (key) => moment(key.created_at), sort: (key) => key.created_at },
    { id: 'used', header: 'Last used', cell: (key) => moment(key.last_used_at), sort: (key) => key.last_used_at ?? '' },
    { id: 'ends', header: 'Ends', cell: (key) => moment(key.expires_at), sort: (key) => key.expires_at ?? '9' },
    {
      id: 'revoke',
      header: 'Actions',
      cell: (key) => (
        <Button kind="danger" aria-label={`Revoke ${key.name}`} onPress={() => setRevoking(key)}>
          Revoke
        </Button>
      ),
    },
  ]
  return (
    <Panel
      flush
      title="Keys"
      actions={
        <Button kind="primary" onPress={() => setAdding(true)}>
          <Plus size={15} aria-hidden /> New key
        </Button>
      }
    >
      <Loaded query={query} isEmpty={(keys) => keys.length === 0} empty={<Empty title="No keys">Programs that send or ask for telemetry use one.</Empty>}>
        {(keys) => <DataTable label="Keys" columns={columns} rows={keys} rowKey={(key) => key.id} initialSort={{ id: 'made', down: true }} />}
      </Loaded>
      {adding ? (
        <NewKey
          close={() => setAdding(false)}
          made={(key) => {
            setAdding(false)
            setSecret(key)
            void client.invalidateQueries({ queryKey: ['keys'] })
          }}
        />
      ) : null}
      <Secret title="The new key" secret={secret} close={() => setSecret(undefined)} />
      <Confirm
        title={`Revoke ${revoking?.name ?? ''}?`}
        open={Boolean(revoking)}
        close={() => setRevoking(undefined)}
        action="Revoke"
        pending={revoke.isPending}
        run={() => revoking && revoke.mutate(revoking.id)}
      >
        Whatever uses this key is turned away from now on.
      </Confirm>
    </Panel>
  )
}
