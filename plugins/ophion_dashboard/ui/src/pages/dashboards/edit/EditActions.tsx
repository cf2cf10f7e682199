import { Plus, Save, Variable as VariableIcon } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { Button } from '@/components/Button'
import { Menu } from '@/components/Menu'
import { KIND_NAMES, newPanel, PANEL_KINDS, type PanelModel, type SavedDashboard } from '../model/types'
import type { Draft } from '../useDraft'

const SaveDialog = lazy(() => import('../dialogs/SaveDialog'))
const VariablesDialog = lazy(() => import('../dialogs/VariablesDialog'))

interface Props {
  draft: Draft
  saved: SavedDashboard | null
  add: (panel: PanelModel) => void
  leave: () => void
}

/** What can be done while a dashboard is changed. */
export function EditActions({ draft, saved, add, leave }: Props) {
  const [asked, setAsked] = useState<'save' | 'variables' | undefined>()
  const kinds = PANEL_KINDS.map((kind) => ({ id: kind, name: KIND_NAMES[kind], run: () => add(newPanel(1, kind, KIND_NAMES[kind])) }))
  const stop = () => {
    draft.discard()
    leave()
  }
  return (
    <>
      <Menu label="Add a panel" actions={kinds}>
        <Button>
          <Plus size={14} aria-hidden /> Add panel
        </Button>
      </Menu>
      <Button onPress={() => setAsked('variables')}>
        <VariableIcon size={14} aria-hidden /> Variables
      </Button>
      {saved ? <Button onPress={stop}>{draft.isChanged ? 'Discard' : 'Done'}</Button> : null}
      <Button kind="primary" onPress={() => setAsked('save')} isDisabled={Boolean(saved) && !draft.isChanged}>
        <Save size={14} aria-hidden /> Save
      </Button>
      <Suspense>
        {asked === 'save' ? <SaveDialog close={() => setAsked(undefined)} draft={draft} saved={saved} /> : null}
        {asked === 'variables' ? <VariablesDialog close={() => setAsked(undefined)} draft={draft} /> : null}
      </Suspense>
    </>
  )
}
