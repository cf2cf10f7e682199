import { useMutation } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api } from '@/api/client'
import { Button } from '@/components/Button'
import { TextField } from '@/components/Field'
import { Panel } from '@/components/Panel'
import { Facts } from '@/components/Stat'
import { useSay } from '@/components/Toasts'
import { useSession } from '@/shell/session'

const SHORTEST = 12

export function Account() {
  const { me } = useSession()
  return (
    <div className="grid">
      <Panel title="Signed in as">
        <Facts
          facts={[
            ['User', me.subject],
            ['Tenant', me.tenant],
            ['May', me.permissions.join(', ')],
          ]}
        />
      </Panel>
      <Panel title="Change your password">
        <PasswordForm />
      </Panel>
    </div>
  )
}

function PasswordForm() {
  const say = useSay()
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const [again, setAgain] = useState('')
  const change = useMutation({
    mutationFn: () => answer(api.POST('/api/auth/password', { body: { current_password: current, new_password: next } })),
    onSuccess() {
      say.done('The password was changed, and your other sessions have ended.')
      for (const clear of [setCurrent, setNext, setAgain]) clear('')
    },
  })
  const wrong = next && next.length < SHORTEST ? `At least ${SHORTEST} characters.` : again && again !== next ? 'The two are not the same.' : undefined
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!wrong) change.mutate()
  }
  return (
    <form className="column" onSubmit={submit}>
      <TextField
        label="Current password"
        type="password"
        autoComplete="current-password"
        required
        value={current}
        wrong={change.error?.message}
        onChange={(event) => setCurrent(event.target.value)}
      />
      <TextField label="New password" type="password" autoComplete="new-password" required value={next} onChange={(event) => setNext(event.target.value)} />
      <TextField
        label="New password again"
        type="password"
        autoComplete="new-password"
        required
        value={again}
        wrong={wrong}
        onChange={(event) => setAgain(event.target.value)}
      />
      <Button type="submit" kind="primary" isDisabled={change.isPending || Boolean(wrong) || !again}>
        Change password
      </Button>
    </form>
  )
}
