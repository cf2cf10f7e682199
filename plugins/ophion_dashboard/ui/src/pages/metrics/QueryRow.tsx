import { Clock, Eye, EyeOff, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { IconButton } from '@/components/Button'
import { Segments } from '@/components/Choice'
import { Menu } from '@/components/Menu'
import { useSay } from '@/components/Toasts'
import { Builder } from './Builder'
import { PromQLEditor } from './editor/PromQLEditor'
import { pastQueries } from './promql/history'
import { toPromQL, type Built } from './promql/model'
import { fromPromQL } from './promql/parse'

export type Mode = 'builder' | 'code'

interface Props {
  letter: string
  draft: string
  write: (draft: string) => void
  /** Run this text now. */
  run: (draft: string) => void
  remove: () => void
  shown: boolean
  setShown: (shown: boolean) => void
  error?: Error
  mode: Mode
  setMode: (mode: Mode) => void
  focus?: boolean
}

export function QueryRow({ letter, draft, write, run, remove, shown, setShown, error, mode, setMode, focus }: Props) {
  // A filter without a label is nothing in PromQL, and must stay until it has one.
  const [made, setMade] = useState<Built>()
  const built = made && toPromQL(made) === draft ? made : fromPromQL(draft)
  const say = useSay()
  const [asked, setAsked] = useState(mode)
  const actual: Mode = asked === 'builder' && built ? 'builder' : 'code'
  const build = (next: Built) => {
    setMade(next)
    const text = toPromQL(next)
    if (text !== draft) run(text)
  }
  const choose = (next: Mode) => {
    if (next === 'builder' && !built) {
      say.failed(new Error('The builder has no place for everything in this query: it stays code.'))
      return
    }
    setAsked(next)
    setMode(next)
  }
  return (
    <div className="metrics-row" role="group" aria-label={`Query ${letter}`}>
      <span className="metrics-letter" aria-hidden>
        {letter}
      </span>
      <div className="metrics-query">
        {actual === 'builder' && built ? <Builder letter={letter} built={built} set={build} /> : null}
        {actual === 'builder' && draft ? <code className="metrics-preview">{draft}</code> : null}
        {actual === 'code' ? <PromQLEditor label={`PromQL of query ${letter}`} value={draft} set={write} run={run} error={error} focus={focus} /> : null}
        {actual === 'builder' && error ? <div className="promql-mistake">{error.message}</div> : null}
      </div>
      <div className="metrics-tools">
        <Segments label={`How to write query ${letter}`} value={actual} choices={[['builder', 'Builder'], ['code', 'Code']] as const} set={choose} />
        <History insert={run} />
        <IconButton label={shown ? `Hide query ${letter}` : `Show query ${letter}`} onPress={() => setShown(!shown)}>
          {shown ? <Eye size={14} aria-hidden /> : <EyeOff size={14} aria-hidden />}
        </IconButton>
        <IconButton label={`Remove query ${letter}`} onPress={remove}>
          <Trash2 size={14} aria-hidden />
        </IconButton>
      </div>
    </div>
  )
}

function History({ insert }: { insert: (expression: string) => void }) {
  const past = pastQueries()
  const actions = past.length
    ? past.slice(0, 20).map((expression) => ({ id: expression, name: <code className="ellipsis metrics-past">{expression}</code>, run: () => insert(expression) }))
    : [{ id: 'none', name: 'No query ran in this browser yet', run: () => undefined }]
  return (
    <Menu label="Queries that ran before" actions={actions}>
      <IconButton label="Queries that ran before">
        <Clock size={14} aria-hidden />
      </IconButton>
    </Menu>
  )
}
