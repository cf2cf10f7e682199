import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState, type FormEvent } from 'react'
import { ApiError } from '@/api/client'
import { Button } from '@/components/Button'
import { Dialog } from '@/components/Dialog'
import { TextArea, TextField } from '@/components/Field'
import { Failure } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { useTime } from '@/shell/time'
import { changed, created, shown } from '../model/api'
import { toFile } from '../model/time'
import { MOST_TITLE, type DashboardModel, type SavedDashboard } from '../model/types'
import type { Draft } from '../useDraft'

interface Props {
  close: () => void
  draft: Draft
  saved: SavedDashboard | null
}

type How = 'save' | 'overwrite' | 'copy'

/** Save a dashboard: its name and place, and what was changed. */
export default function SaveDialog({ close, draft, saved }: Props) {
  const { from, to } = useTime()
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const [model, setModel] = useState(draft.model)
  const [message, setMessage] = useState('')
  const [keepsTime, setKeepsTime] = useState(false)
  const done = (answer: SavedDashboard) => {
    client.setQueryData(['dashboard', answer.uid], answer)
    void client.invalidateQueries({ queryKey: ['dashboards'] })
    say.done(`${answer.title} is saved as version ${answer.version}`)
    draft.discard()
    close()
    const search = (before: object) => ({ ...before, edit: undefined, template: undefined, copy: undefined, version: undefined })
    void navigate({ to: '/dashboards/$uid', params: { uid: answer.uid }, search: search as never, ignoreBlocker: true })
  }
  const work = useMutation({
    mutationFn: async (how: How) => {
      const whole: DashboardModel = { ...model, title: model.title.trim(), time: keepsTime ? { from: toFile(from), to: toFile(to) } : model.time }
      if (!saved || how === 'copy') return created(whole, message)
      const version = how === 'overwrite' ? (await shown(saved.uid)).version : saved.version
      return changed(saved.uid, version, whole, message)
    },
    onSuccess: done,
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    work.mutate('save')
  }
  const isConflict = work.error instanceof ApiError && work.error.status === 409 && saved !== null
  return (
    <Dialog title={saved ? 'Save the dashboard' : 'Save the new dashboard'} open close={close}>
      <form className="column" onSubmit={submit}>
        <TextField label="Title" required maxLength={MOST_TITLE} value={model.title} onChange={(event) => setModel({ ...model, title: event.target.value })} autoFocus={!saved} />
        <div className="dash-pair">
          <TextField label="Folder" maxLength={100} value={model.folder} onChange={(event) => setModel({ ...model, folder: event.target.value })} />
          <TextField label="Tags" hint="with commas between them" value={model.tags.join(', ')} onChange={(event) => setModel({ ...model, tags: tagsOf(event.target.value) })} />
        </div>
        <TextArea label="Description" value={model.description} onChange={(event) => setModel({ ...model, description: event.target.value })} />
        <TextField label="What was changed" maxLength={200} value={message} onChange={(event) => setMessage(event.target.value)} autoFocus={Boolean(saved)} />
        <label className="row">
          <input type="checkbox" checked={keepsTime} onChange={(event) => setKeepsTime(event.target.checked)} />
          Show at first the time range that is shown now
        </label>
        {work.error && !isConflict ? <Failure error={work.error} /> : null}
        {isConflict && saved ? <Conflict saved={saved} save={work.mutate} draft={draft} close={close} /> : null}
        <div className="row" style={{ justifyContent: 'flex-end' }}>
          <Button onPress={close}>Cancel</Button>
          {isConflict ? null : (
            <Button type="submit" kind="primary" isDisabled={work.isPending || !model.title.trim()}>
              Save
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  )
}

/** Tags as they are typed: the last one may end with a space or a comma. */
function tagsOf(text: string): string[] {
  const parts = text.split(',').map((one) => one.replace(/^\s+/, ''))
  return parts.filter((one, index) => one || (index === parts.length - 1 && parts.length > 1)).slice(0, 20)
}

interface ConflictProps {
  saved: SavedDashboard
  save: (how: How) => void
  draft: Draft
  close: () => void
}

function Conflict({ saved, save, draft, close }: ConflictProps) {
  const client = useQueryClient()
  const reload = () => {
    draft.discard()
    close()
    void client.invalidateQueries({ queryKey: ['dashboard', saved.uid] })
  }
  return (
    <div className="notice warn" role="alert">
      <div className="column grow">
        <div>Somebody else saved this dashboard in the meantime. Your changes are still here.</div>
        <div className="row wrap">
          <a className="button" href={`/dashboards/${encodeURIComponent(saved.uid)}`} target="_blank" rel="noopener">
            See theirs
          </a>
          <Button onPress={reload}>Take theirs, drop mine</Button>
          <Button onPress={() => save('copy')}>Save mine as another</Button>
          <Button kind="danger" onPress={() => save('overwrite')}>
            Overwrite with mine
          </Button>
        </div>
      </div>
    </div>
  )
}
