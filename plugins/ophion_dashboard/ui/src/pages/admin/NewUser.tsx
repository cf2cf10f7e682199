import { useMutation } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api, type SchemaCreatedUser, type SchemaRole } from '@/api/client'
import { Button } from '@/components/Button'
import { Segments } from '@/components/Choice'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { ROLES } from './Users'

const MEANING: Record<SchemaRole, string> = {
  viewer: 'Sees everything of the tenant, changes nothing.',
  operator: 'Also changes dashboards, and runs what operators run.',
  admin: 'Also users, keys, retention and the audit log.',
}

export function NewUser({ close, made }: { close: () => void; made: (user: SchemaCreatedUser) => void }) {
  const [username, setUsername] = useState('')
  const [role, setRole] = useState<SchemaRole>('viewer')
  const create = useMutation({
    mutationFn: () => answer(api.POST('/api/users', { body: { username, role, password: null, tenant: null } })),
    onSuccess: made,
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate()
  }
  return (
    <Dialog title="New user" open close={close}>
      <form className="column" onSubmit={submit}>
        <TextField
          label="User name"
          required
          autoFocus
          autoComplete="off"
          value={username}
          wrong={create.error?.message}
          hint="The password is made by the server and shown once."
          onChange={(event) => setUsername(event.target.value)}
        />
        <Segments label="Role" value={role} choices={ROLES} set={setRole} />
        <p className="quiet">{MEANING[role]}</p>
        <Button type="submit" kind="primary" isDisabled={create.isPending}>
          Add the user
        </Button>
      </form>
    </Dialog>
  )
}
