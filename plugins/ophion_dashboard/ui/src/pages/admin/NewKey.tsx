import { useMutation } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api, type SchemaPermission } from '@/api/client'
import { Button } from '@/components/Button'
import { Segments, SelectField } from '@/components/Choice'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { DAY } from '@/lib/time'
import { useSession } from '@/shell/session'

const LIFETIMES = [
  ['', 'never'],
  ['30', 'in 30 days'],
  ['90', 'in 90 days'],
  ['365', 'in a year'],
] as const

const SCOPES: readonly (readonly [SchemaPermission, string])[] = [
  ['telemetry:read', 'read telemetry'],
  ['operate', 'change dashboards and the like'],
  ['admin', 'administer'],
]

export function NewKey({ close, made }: { close: () => void; made: (key: string) => void }) {
  const { may } = useSession()
  const [name, setName] = useState('')
  const [kind, setKind] = useState<'api' | 'ingest'>('api')
  const [days, setDays] = useState<string>('')
  const [scopes, setScopes] = useState<readonly SchemaPermission[]>(['telemetry:read'])
  const create = useMutation({
    mutationFn: () => {
      const expires = days ? new Date(Date.now() + Number(days) * DAY).toISOString() : null
      const body = { name, kind, expires_at: expires, scopes: kind === 'api' ? [...scopes] : [], tenant: null }
      return answer(api.POST('/api/keys', { body }))
    },
    onSuccess: (key) => made(key.key),
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate()
  }
  const toggle = (scope: SchemaPermission) => setScopes((before) => (before.includes(scope) ? before.filter((one) => one !== scope) : [...before, scope]))
  return (
    <Dialog title="New key" open close={close}>
      <form className="column" onSubmit={submit}>
        <TextField label="Name" required autoFocus maxLength={100} hint="What uses it, such as grafana or web-1." wrong={create.error?.message} value={name} onChange={(event) => setName(event.target.value)} />
        {may('operate') ? (
          <Segments label="Kind" value={kind} choices={[['api', 'API key: asks the API'], ['ingest', 'Ingest key: only sends']] as const} set={setKind} />
        ) : null}
        {kind === 'api' ? (
          <fieldset className="facets">
            <legend>May</legend>
            {SCOPES.filter(([scope]) => may(scope)).map(([scope, says]) => (
              <label key={scope} className="row small">
                <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} /> {says}
              </label>
            ))}
          </fieldset>
        ) : null}
        <SelectField label="Ends" value={days} choices={LIFETIMES} set={setDays} />
        <Button type="submit" kind="primary" isDisabled={create.isPending || (kind === 'api' && scopes.length === 0)}>
          Make the key
        </Button>
      </form>
    </Dialog>
  )
}
