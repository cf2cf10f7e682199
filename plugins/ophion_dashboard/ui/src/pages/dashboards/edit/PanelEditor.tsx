import { Plus, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { Button, IconButton } from '@/components/Button'
import { TextArea, TextField } from '@/components/Field'
import { Page } from '@/components/Page'
import { Panel } from '@/components/Panel'
import { PromQLEditor } from '@/pages/metrics/editor/PromQLEditor'
import { letter } from '@/pages/metrics/rows'
import { useTime } from '@/shell/time'
import { namesIn, type Values } from '../model/variables'
import { queryKind, type PanelModel, type PanelQuery, type Variable } from '../model/types'
import { PanelBody } from '../panels/PanelBody'
import { PanelFrame } from '../panels/PanelFrame'
import { PanelOptionsForm } from './PanelOptions'

interface Props {
  panel: PanelModel
  variables: readonly Variable[]
  values: Values
  apply: (panel: PanelModel) => void
  close: () => void
  /** Of the dashboard. */
  title: string
}

/** One panel with all that it asks and how it shows it; what is changed goes to the dashboard, which is saved later. */
export default function PanelEditor({ panel, variables, values, apply, close, title }: Props) {
  const { range } = useTime()
  const [before] = useState(panel)
  const shown = useMemo(() => ({ panel, key: String(panel.id), values }), [panel, values])
  const back = () => {
    apply(before)
    close()
  }
  return (
    <Page
      title={`Panel: ${panel.title || 'without a title'}`}
      crumbs={title}
      actions={
        <>
          <Button onPress={back}>Take back</Button>
          <Button kind="primary" onPress={close}>
            Done
          </Button>
        </>
      }
    >
      <div className="dash-editor">
        <div>
          <div className="dash-preview">
            <PanelFrame shown={shown}>
              <PanelBody panel={panel} values={values} range={range} />
            </PanelFrame>
          </div>
          {panel.kind === 'text' ? (
            <Panel title="Text">
              <TextArea label="Markdown" rows={12} maxLength={20_000} value={panel.text} onChange={(event) => apply({ ...panel, text: event.target.value })} />
            </Panel>
          ) : (
            <Queries panel={panel} apply={apply} />
          )}
        </div>
        <PanelOptionsForm panel={panel} variables={variables} apply={apply} />
      </div>
    </Page>
  )
}

function Queries({ panel, apply }: { panel: PanelModel; apply: (panel: PanelModel) => void }) {
  const kind = queryKind(panel.kind)
  const change = (at: number, query: PanelQuery | null) =>
    apply({ ...panel, queries: panel.queries.flatMap((one, index) => (index === at ? (query ? [query] : []) : [one])) })
  return (
    <Panel
      title="Queries"
      actions={
        <Button onPress={() => apply({ ...panel, queries: [...panel.queries, { kind, expression: '', legend: '' }] })}>
          <Plus size={14} aria-hidden /> Add query
        </Button>
      }
    >
      {panel.queries.map((query, index) => (
        <QueryFields key={index} name={letter(index)} query={query} set={(next) => change(index, next)} isLast={panel.queries.length === 1} />
      ))}
    </Panel>
  )
}

interface QueryProps {
  name: string
  query: PanelQuery
  set: (query: PanelQuery | null) => void
  isLast: boolean
}

const HINTS = {
  logs: 'Words, "phrases", field:value; empty finds all',
  traces: 'service:checkout status:error min_duration=250ms root http.route=/cart; empty finds all',
}

function QueryFields({ name, query, set, isLast }: QueryProps) {
  const [draft, setDraft] = useState(query.expression)
  const take = (text: string) => text !== query.expression && set({ ...query, expression: text })
  const run = () => take(draft)
  return (
    <div className="dash-query" role="group" aria-label={`Query ${name}`} onBlur={run}>
      <span className="metrics-letter" aria-hidden>
        {name}
      </span>
      <div className="dash-query-fields">
        {query.kind === 'promql' ? (
          <>
            <PromQLEditor label={`PromQL of query ${name}`} value={draft} set={setDraft} run={take} lint={namesIn(draft).size === 0} />
            <TextField
              label={`Legend of query ${name}`}
              hint="{{label}} is replaced by the value of that label"
              maxLength={300}
              value={query.legend}
              onChange={(event) => set({ ...query, expression: draft, legend: event.target.value })}
            />
          </>
        ) : (
          <TextField
            label={`Search of query ${name}`}
            hint={HINTS[query.kind]}
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
            onKeyDown={(event) => event.key === 'Enter' && run()}
          />
        )}
      </div>
      <IconButton label={`Remove query ${name}`} onPress={() => set(null)} isDisabled={isLast}>
        <Trash2 size={14} aria-hidden />
      </IconButton>
    </div>
  )
}
