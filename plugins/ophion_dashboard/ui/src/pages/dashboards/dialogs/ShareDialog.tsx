import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Button } from '@/components/Button'
import { SelectField } from '@/components/Choice'
import { CopyButton } from '@/components/Copy'
import { Dialog } from '@/components/Dialog'
import { TextField } from '@/components/Field'
import { Failure } from '@/components/States'
import { useSession } from '@/shell/session'
import { useTime } from '@/shell/time'
import { snapshotMade } from '../model/api'
import type { Shown } from '../model/repeat'
import { fixed, iso } from '../model/time'
import type { DashboardModel, SavedDashboard } from '../model/types'
import type { Values } from '../model/variables'
import { asked } from '../panels/data'
import { panelQuery } from '../panels/usePanel'

interface Props {
  close: () => void
  saved: SavedDashboard | null
  model: DashboardModel
  shown: readonly Shown[]
  values: Values
}

/** A link that moves with time, one that does not, or a snapshot of the data. */
export default function ShareDialog({ close, saved, model, shown, values }: Props) {
  const { range } = useTime()
  const { may } = useSession()
  const still = new URL(location.href)
  for (const [name, value] of Object.entries(fixed(range))) still.searchParams.set(name, value)
  still.searchParams.set('refresh', '0')
  return (
    <Dialog title="Share" open close={close} width={600}>
      {saved ? (
        <>
          <LinkLine label="Link to this view" hint="Time range and variables as they are; a range up to now moves on." url={location.href} />
          <LinkLine label="Link to this moment" hint="Always shows the same time." url={still.href} />
        </>
      ) : (
        <p className="quiet">Save the dashboard to share a link to it.</p>
      )}
      {may('operate') ? <SnapshotForm model={model} shown={shown} values={values} /> : null}
    </Dialog>
  )
}

function LinkLine({ label, hint, url }: { label: string; hint: string; url: string }) {
  return (
    <div className="dash-line" style={{ gridTemplateColumns: 'minmax(0, 1fr) auto', alignItems: 'center' }}>
      <TextField label={label} hint={hint} value={url} readOnly onFocus={(event) => event.target.select()} />
      <CopyButton text={url} label={`Copy: ${label}`} />
    </div>
  )
}

const DAYS = [['1', 'a day'], ['7', 'a week'], ['30', 'a month'], ['365', 'a year']] as const

function SnapshotForm({ model, shown, values }: Pick<Props, 'model' | 'shown' | 'values'>) {
  const { range } = useTime()
  const client = useQueryClient()
  const [title, setTitle] = useState(model.title)
  const [days, setDays] = useState<(typeof DAYS)[number][0]>('30')
  const make = useMutation({
    mutationFn: async () => {
      const pairs = await Promise.all(
        shown.map(async ({ panel, key, values: own }) => {
          const question = asked(panel, own, range)
          return [key, question.kind === 'nothing' ? null : await client.fetchQuery(panelQuery(question)).catch(() => null)] as const
        }),
      )
      const data = Object.fromEntries(pairs.filter(([, one]) => one !== null).slice(0, 200))
      const chosen = Object.fromEntries([...values].map(([name, one]) => [name, [...one.values]]))
      return snapshotMade({ title: title.trim() || model.title, dashboard: model, start: iso(range.start), end: iso(range.end), variables: chosen, data, expires_in_days: Number(days) })
    },
  })
  const url = make.data ? `${location.origin}/snapshots/${make.data.id}` : ''
  return (
    <div className="column">
      <h3>Snapshot</h3>
      <p className="quiet small">Keeps the data that the panels show now, for whoever has the link and an account here.</p>
      <div className="dash-pair">
        <TextField label="Title of the snapshot" value={title} maxLength={200} onChange={(event) => setTitle(event.target.value)} />
        <SelectField label="Kept for" value={days} choices={DAYS} set={setDays} />
      </div>
      {make.error ? <Failure error={make.error} /> : null}
      {url ? (
        <LinkLine label="Link to the snapshot" hint="Nobody can guess it." url={url} />
      ) : (
        <div className="row">
          <Button kind="primary" onPress={() => make.mutate()} isDisabled={make.isPending}>
            Make a snapshot
          </Button>
        </div>
      )}
    </div>
  )
}
