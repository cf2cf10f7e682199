import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Badge } from '@/components/Badge'
import { Button } from '@/components/Button'
import { DataTable, type Column } from '@/components/DataTable'
import { Dialog } from '@/components/Dialog'
import { Loaded } from '@/components/States'
import { useSay } from '@/components/Toasts'
import { clock } from '@/lib/time'
import { useTime } from '@/shell/time'
import { restored, versions } from '../model/api'
import type { SavedDashboard, VersionSummary } from '../model/types'

/** The saved states of a dashboard: look at one, or make it the newest again. */
export default function VersionsDialog({ close, saved }: { close: () => void; saved: SavedDashboard }) {
  const { zone } = useTime()
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const all = useQuery({ queryKey: ['dashboard', saved.uid, 'versions', saved.version], queryFn: ({ signal }) => versions(saved.uid, signal) })
  const look = (version: number) => {
    close()
    void navigate({ to: '.', search: ((before: object) => ({ ...before, version: version === saved.version ? undefined : version })) as never })
  }
  const restore = useMutation({
    mutationFn: (version: number) => restored(saved.uid, version),
    onSuccess: (answer, version) => {
      client.setQueryData(['dashboard', saved.uid], answer)
      say.done(`Version ${version} is the newest again, as version ${answer.version}`)
      look(answer.version)
    },
    onError: say.failed,
  })
  const columns: Column<VersionSummary>[] = [
    { id: 'version', header: 'Version', cell: (row) => (row.version === saved.version ? <Badge tone="ok">{row.version}, newest</Badge> : row.version) },
    { id: 'saved', header: 'Saved', cell: (row) => clock(Date.parse(row.saved_at), zone) },
    { id: 'by', header: 'By', cell: (row) => row.saved_by },
    { id: 'message', header: 'What was changed', cell: (row) => row.message },
    {
      id: 'do',
      header: '',
      cell: (row) => (
        <span className="row">
          <Button onPress={() => look(row.version)}>Look</Button>
          {saved.may_edit && row.version !== saved.version ? (
            <Button aria-label={`Restore version ${row.version}`} onPress={() => restore.mutate(row.version)} isDisabled={restore.isPending}>
              Restore
            </Button>
          ) : null}
        </span>
      ),
    },
  ]
  return (
    <Dialog title={`Versions of ${saved.title}`} open close={close} width={860}>
      <Loaded query={all} height={200}>
        {(rows) => <DataTable label="Versions" columns={columns} rows={rows} rowKey={(row) => String(row.version)} maxHeight={420} />}
      </Loaded>
    </Dialog>
  )
}
