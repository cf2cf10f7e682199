import { useMutation } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { answer, api, type SchemaTenantAnswer } from '@/api/client'
import { Button } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { useSay } from '@/components/Toasts'

const SIGNALS = ['traces', 'logs', 'metrics'] as const
type Signal = (typeof SIGNALS)[number]

interface Props {
  tenant: SchemaTenantAnswer
  close: () => void
  done: () => void
}

function written(value: number | null): string {
  return value === null ? '' : String(value)
}

/** Days that a tenant's telemetry is kept; an empty field takes the store's own. */
export function RetentionForm({ tenant, close, done }: Props) {
  const say = useSay()
  const [days, setDays] = useState<Record<Signal, string>>({
    traces: written(tenant.traces_days),
    logs: written(tenant.logs_days),
    metrics: written(tenant.metrics_days),
  })
  const change = useMutation({
    mutationFn: () => {
      const body = Object.fromEntries(SIGNALS.map((signal) => [`${signal}_days`, days[signal] ? Number(days[signal]) : null]))
      return answer(api.PATCH('/api/tenants/{name}', { params: { path: { name: tenant.name } }, body: body as never }))
    },
    onSuccess() {
      say.done('The retention was changed. What is too old is deleted within the hour.')
      done()
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    change.mutate()
  }
  return (
    <Dialog title={`Retention of ${tenant.name}`} open close={close}>
      <form className="column" onSubmit={submit}>
        {SIGNALS.map((signal) => (
          <TextField
            key={signal}
            label={`Days that ${signal} are kept`}
            type="number"
            min={1}
            max={36500}
            placeholder="as the store"
            value={days[signal]}
            onChange={(event) => setDays({ ...days, [signal]: event.target.value })}
          />
        ))}
        {change.error ? (
          <p className="wrong" role="alert">
            {change.error.message}
          </p>
        ) : null}
        <Button type="submit" kind="primary" isDisabled={change.isPending}>
          Change
        </Button>
      </form>
    </Dialog>
  )
}
