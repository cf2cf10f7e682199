import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { ApiError } from '@/api/client'
import { Button } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { TextArea } from '@/components/Field'
import { useSay } from '@/components/Toasts'
import { imported } from '../model/api'

/** A dashboard from its YAML text; mistakes are shown with their lines. */
export default function ImportDialog({ close }: { close: () => void }) {
  const [yaml, setYaml] = useState('')
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const work = useMutation({
    mutationFn: (overwrite: boolean) => imported(yaml, overwrite),
    onSuccess: (saved) => {
      client.setQueryData(['dashboard', saved.uid], saved)
      void client.invalidateQueries({ queryKey: ['dashboards'] })
      say.done(`${saved.title} is imported`)
      void navigate({ to: '/dashboards/$uid', params: { uid: saved.uid } })
    },
  })
  const isTaken = work.error instanceof ApiError && work.error.status === 409
  return (
    <Dialog title="Import a dashboard" open close={close} width={720}>
      <label className="row">
        <span className="quiet">A file</span>
        <input type="file" accept=".yaml,.yml,application/yaml,text/yaml" aria-label="YAML file" onChange={(event) => void event.target.files?.[0]?.text().then(setYaml, say.failed)} />
      </label>
      <div className="dash-yaml">
        <TextArea label="or its text" value={yaml} spellCheck={false} onChange={(event) => setYaml(event.target.value)} placeholder={'format: 1\ntitle: My dashboard\npanels: …'} />
      </div>
      {work.error ? <Mistakes error={work.error} /> : null}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onPress={close}>Cancel</Button>
        {isTaken ? (
          <Button kind="danger" onPress={() => work.mutate(true)}>
            Overwrite it
          </Button>
        ) : null}
        <Button kind="primary" onPress={() => work.mutate(false)} isDisabled={!yaml.trim() || work.isPending}>
          Import
        </Button>
      </div>
    </Dialog>
  )
}

function Mistakes({ error }: { error: Error }) {
  const all = error instanceof ApiError && error.errors.length ? error.errors.map((one) => one.message) : [error.message]
  return (
    <div className="notice bad" role="alert">
      <ul className="column">
        {all.map((text) => (
          <li key={text} className="mono">
            {text}
          </li>
        ))}
      </ul>
    </div>
  )
}
