import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Ellipsis, Pencil, Share2, Star } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { Button, IconButton, Toggle } from '@/components/Button'
import { Confirm } from '@/components/Dialog'
import { Menu } from '@/components/Menu'
import { useSay } from '@/components/Toasts'
import { useSession } from '@/shell/session'
import { download } from '@/pages/metrics/export'
import { exported, removed, starred } from './model/api'
import type { Shown } from './model/repeat'
import type { SavedDashboard } from './model/types'
import type { Draft } from './useDraft'
import type { Variables } from './useVariables'

const ShareDialog = lazy(() => import('./dialogs/ShareDialog'))
const VersionsDialog = lazy(() => import('./dialogs/VersionsDialog'))

interface Props {
  saved: SavedDashboard | null
  draft: Draft
  older?: number
  mayEdit: boolean
  shown: readonly Shown[]
  variables: Variables
  edit: () => void
}

type Asked = 'share' | 'versions' | 'delete' | undefined

/** What can be done with a dashboard that is looked at. */
export function ViewActions({ saved, draft, older, mayEdit, shown, variables, edit }: Props) {
  const [asked, setAsked] = useState<Asked>()
  const navigate = useNavigate()
  const say = useSay()
  const { may } = useSession()
  const copy = (uid: string) => void navigate({ to: '/dashboards/$uid', params: { uid: 'new' }, search: ((before: object) => ({ ...before, copy: uid })) as never })
  const tv = () => {
    // Browsers allow it only in answer to a key or a click; without it the page fills its window.
    document.documentElement.requestFullscreen().catch(() => undefined)
    void navigate({ to: '.', search: ((before: object) => ({ ...before, tv: true })) as never })
  }
  const save = () => saved && exported(saved.uid).then((yaml) => download(`${saved.uid}.yaml`, yaml, 'application/yaml')).catch(say.failed)
  const actions = [
    { id: 'tv', name: 'TV mode', run: tv },
    ...(saved
      ? [
          { id: 'versions', name: 'Versions', run: () => setAsked('versions') },
          { id: 'yaml', name: 'Export YAML', run: () => void save() },
        ]
      : []),
    ...(saved && may('operate') ? [{ id: 'copy', name: 'Make a copy', run: () => copy(saved.uid) }] : []),
    ...(saved?.may_delete ? [{ id: 'delete', name: 'Delete', run: () => setAsked('delete') }] : []),
  ]
  return (
    <>
      {saved ? <StarToggle saved={saved} /> : null}
      {mayEdit ? (
        <Button onPress={edit}>
          <Pencil size={14} aria-hidden /> Edit
        </Button>
      ) : null}
      {older ? <Button onPress={() => void navigate({ to: '.', search: ((before: object) => ({ ...before, version: undefined })) as never })}>Newest version</Button> : null}
      <Button onPress={() => setAsked('share')}>
        <Share2 size={14} aria-hidden /> Share
      </Button>
      <Menu label="More" actions={actions}>
        <IconButton label="More">
          <Ellipsis size={16} aria-hidden />
        </IconButton>
      </Menu>
      <Suspense>
        {asked === 'share' ? <ShareDialog close={() => setAsked(undefined)} saved={saved} model={draft.model} shown={shown} values={variables.values} /> : null}
        {asked === 'versions' && saved ? <VersionsDialog close={() => setAsked(undefined)} saved={saved} /> : null}
      </Suspense>
      {asked === 'delete' && saved ? <Delete saved={saved} close={() => setAsked(undefined)} /> : null}
    </>
  )
}

function StarToggle({ saved }: { saved: SavedDashboard }) {
  const client = useQueryClient()
  const say = useSay()
  const star = useMutation({
    mutationFn: (on: boolean) => starred(saved.uid, on),
    onSuccess: (_, on) => {
      client.setQueryData(['dashboard', saved.uid], { ...saved, starred: on })
      void client.invalidateQueries({ queryKey: ['dashboards'] })
    },
    onError: say.failed,
  })
  return (
    <span className="dash-star">
      <Toggle label="Star" on={saved.starred} set={(on) => star.mutate(on)}>
        <Star size={14} aria-hidden fill={saved.starred ? 'currentColor' : 'none'} />
      </Toggle>
    </span>
  )
}

function Delete({ saved, close }: { saved: SavedDashboard; close: () => void }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const work = useMutation({
    mutationFn: () => removed(saved.uid),
    onSuccess: () => {
      say.done(`${saved.title} is deleted`)
      void client.invalidateQueries({ queryKey: ['dashboards'] })
      void navigate({ to: '/dashboards' })
    },
    onError: say.failed,
  })
  return (
    <Confirm title={`Delete ${saved.title}?`} open close={close} action="Delete" run={() => work.mutate()} pending={work.isPending}>
      Its versions go too. Links to it will find nothing; snapshots stay until they expire.
    </Confirm>
  )
}
