import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { UserPlus } from 'lucide-react'
import { useState } from 'react'
import { answer, api, type SchemaChangedUser, type SchemaRole, type SchemaUserAnswer } from '@/api/client'
import { Badge } from '@/components/Badge'
import { Button } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { DataTable, type Column } from '@/components/DataTable'
import { Confirm } from '@/components/Dialog'
import { Panel } from '@/components/Panel'
import { Loaded } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { clock } from '@/lib/time'
import { useSession } from '@/shell/session'
import { useTime } from '@/shell/time'
import { NewUser } from './NewUser'
import { Secret } from './Secret'

export const ROLES = [
  ['viewer', 'viewer'],
  ['operator', 'operator'],
  ['admin', 'admin'],
] as const satisfies readonly (readonly [SchemaRole, string])[]

export function Users() {
  const client = useQueryClient()
  const say = useSay()
  const { me } = useSession()
  const { zone } = useTime()
  const [adding, setAdding] = useState(false)
  const [removing, setRemoving] = useState<string>()
  const [secret, setSecret] = useState<string>()
  const query = useQuery({ queryKey: ['users'], queryFn: () => answer(api.GET('/api/users')) })
  const settled = { onError: say.failed, onSettled: () => client.invalidateQueries({ queryKey: ['users'] }) }
  const change = useMutation({
    mutationFn: ({ username, ...body }: Partial<SchemaChangedUser> & { username: string }) =>
      answer(api.PATCH('/api/users/{username}', { params: { path: { username } }, body: body as SchemaChangedUser })),
    onSuccess: (user) => say.done(`${user.username} is ${user.disabled ? 'kept from signing in' : user.role} now.`),
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (username: string) => answer(api.DELETE('/api/users/{username}', { params: { path: { username } } })),
    onSuccess: () => say.done('The user was removed.'),
    ...settled,
  })
  const columns: Column<SchemaUserAnswer>[] = [
    { id: 'name', header: 'User', cell: (user) => user.username, sort: (user) => user.username },
    { id: 'tenant', header: 'Tenant', cell: (user) => user.tenant, sort: (user) => user.tenant },
    {
      id: 'role',
      header: 'Role',
      sort: (user) => user.role,
      cell: (user) =>
        user.username === me.subject ? (
          user.role
        ) : (
          <SelectField hidden label={`Role of ${user.username}`} value={user.role} choices={ROLES} set={(role) => change.mutate({ username: user.username, role })} />
        ),
    },
    { id: 'state', header: 'State', cell: (user) => <UserState user={user} /> },
    { id: 'made', header: 'Added', cell: (user) => clock(Date.parse(user.created_at), zone), sort: (user) => user.created_at },
    {
      id: 'actions',
      header: 'Actions',
      cell: (user) =>
        user.username === me.subject ? null : (
          <div className="row">
            <Button aria-label={`${user.disabled ? 'Let' : 'Keep'} ${user.username} ${user.disabled ? 'in again' : 'out'}`} onPress={() => change.mutate({ username: user.username, disabled: !user.disabled })}>
              {user.disabled ? 'Let in again' : 'Keep out'}
            </Button>
            <Button kind="danger" aria-label={`Remove ${user.username}`} onPress={() => setRemoving(user.username)}>
              Remove
            </Button>
          </div>
        ),
    },
  ]
  return (
    <Panel
      flush
      title="Users"
      actions={
        <Button kind="primary" onPress={() => setAdding(true)}>
          <UserPlus size={15} aria-hidden /> New user
        </Button>
      }
    >
      <Loaded query={query}>{(users) => <DataTable label="Users" columns={columns} rows={users} rowKey={(user) => user.username} initialSort={{ id: 'name', down: false }} />}</Loaded>
      {adding ? (
        <NewUser
          close={() => setAdding(false)}
          made={(user) => {
            setAdding(false)
            setSecret(user.password ?? undefined)
            say.done(`${user.username} was added.`)
            void client.invalidateQueries({ queryKey: ['users'] })
          }}
        />
      ) : null}
      <Secret title="The password of the new user" secret={secret} close={() => setSecret(undefined)} />
      <Confirm
        title={`Remove ${removing ?? ''}?`}
        open={Boolean(removing)}
        close={() => setRemoving(undefined)}
        action="Remove"
        run={() => {
          if (removing) remove.mutate(removing)
          setRemoving(undefined)
        }}
      >
        The user’s sessions end and the user’s API keys are revoked.
      </Confirm>
    </Panel>
  )
}

function UserState({ user }: { user: SchemaUserAnswer }) {
  if (user.disabled) return <Badge tone="bad">kept out</Badge>
  return user.password_generated ? <Badge tone="warn">password not changed yet</Badge> : <Badge tone="ok">active</Badge>
}
