import { useState, type FormEvent } from 'react'
import { answer, api, ApiError } from '@/api/client'
import { Button } from '@/components/Button'
import { TextField } from '@/components/Field'
import { brand } from './brand'

interface Props {
  done: () => Promise<void>
  /** Said above the form, such as why one has to sign in again. */
  note?: string
}

export function SignInForm({ done, note }: Props) {
  const [username, setUsername] = useState('')
  const [password, setPassword] = useState('')
  const [wrong, setWrong] = useState('')
  const [pending, setPending] = useState(false)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setPending(true)
    try {
      await answer(api.POST('/api/auth/login', { body: { username, password } }))
      await done()
    } catch (error) {
      setWrong(error instanceof ApiError && error.status === 401 ? 'The name or the password is wrong.' : String((error as Error).message))
    } finally {
      setPending(false)
    }
  }
  return (
    <form onSubmit={(event) => void submit(event)} className="column">
      {note ? <p className="quiet">{note}</p> : null}
      <TextField label="User name" name="username" autoComplete="username" required autoFocus value={username} onChange={(event) => setUsername(event.target.value)} />
      <TextField
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        wrong={wrong || undefined}
        onChange={(event) => setPassword(event.target.value)}
      />
      <Button type="submit" kind="primary" isDisabled={pending}>
        Sign in
      </Button>
    </form>
  )
}

/** The page before anything else; the address stays as it was, so that links survive signing in. */
export function SignInPage({ done }: { done: () => Promise<void> }) {
  const { name, logo } = brand()
  return (
    <main className="signin">
      <div className="panel">
        <div className="panel-body column">
          <div className="row">
            <img src={logo} alt="" width={30} height={30} />
            <h1>Sign in to {name}</h1>
          </div>
          <SignInForm done={done} />
          <p className="faint small">
            The first start printed the password of <code>admin</code>. A new one: <code>ophion-agent server user password admin</code>
          </p>
        </div>
      </div>
    </main>
  )
}
