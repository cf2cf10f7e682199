import { useMutation } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api } from '@/api/client'
import { Button } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { useSay } from '@/components/Toasts'

/** Removing a tenant asks for its name once more. */
export function RemoveTenant({ name, close, done }: { name: string; close: () => void; done: () => void }) {
  const say = useSay()
  const [typed, setTyped] = useState('')
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE('/api/tenants/{name}', { params: { path: { name }, query: { confirm: typed } } })),
    onSuccess() {
      say.done(`${name} was removed.`)
      done()
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    remove.mutate()
  }
  return (
    <Dialog title={`Remove ${name}?`} open close={close}>
      <form className="column" onSubmit={submit}>
        <p>Its users, keys, dashboards and telemetry are deleted. Nothing brings them back but a backup.</p>
        <TextField label={`Type ${name} to confirm`} required autoFocus autoComplete="off" value={typed} wrong={remove.error?.message} onChange={(event) => setTyped(event.target.value)} />
        <Button type="submit" kind="danger" isDisabled={typed !== name || remove.isPending}>
          Remove the tenant
        </Button>
      </form>
    </Dialog>
  )
}
