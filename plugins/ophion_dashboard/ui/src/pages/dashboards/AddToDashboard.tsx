import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { Button } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { Failure } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { changed, created, listed, shown } from './model/api'
import { placeFor } from './model/layout'
import { newPanel, nextId, NO_DASHBOARD, type DashboardModel, type PanelModel, type PanelOptions, type SavedDashboard } from './model/types'

interface Props {
  close: () => void
  title: string
  queries: readonly string[]
  options: Partial<PanelOptions>
}

/** Put queries on a dashboard, as a new panel. */
export default function AddToDashboard({ close, title, queries, options }: Props) {
  const [name, setName] = useState(title)
  const [uid, setUid] = useState('')
  const [fresh, setFresh] = useState('My dashboard')
  const all = useQuery({ queryKey: ['dashboards', 'list'], queryFn: ({ signal }) => listed(signal) })
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const add = useMutation({
    mutationFn: () => put(uid, fresh.trim() || 'My dashboard', { title: name, queries, options }),
    onSuccess: (saved) => {
      client.setQueryData(['dashboard', saved.uid], saved)
      void client.invalidateQueries({ queryKey: ['dashboards'] })
      say.done(`Added to ${saved.title}`)
      void navigate({ to: '/dashboards/$uid', params: { uid: saved.uid } })
    },
  })
  const known = (all.data ?? []).filter((one) => !one.provisioned)
  return (
    <Dialog title="Add to a dashboard" open close={close}>
      <TextField label="Title of the panel" value={name} maxLength={200} onChange={(event) => setName(event.target.value)} />
      <SelectField label="Dashboard" value={uid} choices={[['', 'a new one'] as const, ...known.map((one) => [one.uid, one.title] as const)]} set={setUid} />
      {uid ? null : <TextField label="Title of the dashboard" value={fresh} maxLength={200} onChange={(event) => setFresh(event.target.value)} />}
      {add.error ? <Failure error={add.error} /> : null}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onPress={close}>Cancel</Button>
        <Button kind="primary" onPress={() => add.mutate()} isDisabled={add.isPending}>
          Add
        </Button>
      </div>
    </Dialog>
  )
}

async function put(uid: string, fresh: string, panel: Pick<Props, 'title' | 'queries' | 'options'>): Promise<SavedDashboard> {
  if (!uid) return created(withPanel({ ...NO_DASHBOARD, title: fresh }, panel), 'Added from metrics')
  const saved = await shown(uid)
  return changed(uid, saved.version, withPanel(saved.dashboard, panel), 'Added from metrics')
}

export function withPanel(model: DashboardModel, { title, queries, options }: Pick<Props, 'title' | 'queries' | 'options'>): DashboardModel {
  const made = newPanel(nextId(model.panels), 'timeseries', title)
  const panel: PanelModel = {
    ...made,
    position: placeFor(model.panels.map((one) => one.position), made.position),
    queries: queries.map((expression) => ({ kind: 'promql', expression, legend: '' })),
    options: { ...made.options, ...options },
  }
  return { ...model, panels: [...model.panels, panel] }
}
