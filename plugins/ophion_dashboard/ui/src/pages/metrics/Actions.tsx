import { LayoutDashboard, Share2 } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { Button } from '@/components/Button'
import { Menu } from '@/components/Menu'
import { useSay } from '@/components/Toasts'
import { useSession } from '@/shell/session'
import { curl, download, exported } from './export'
import type { Question } from './promql/run'
import type { MetricsSearch } from './search'

const AddToDashboard = lazy(() => import('../dashboards/AddToDashboard'))

interface Props {
  questions: readonly Question[]
  search: MetricsSearch
  unit: string
}

/** What can be done with the queries: copy, export, keep on a dashboard. */
export function Actions({ questions, search, unit }: Props) {
  const [adding, setAdding] = useState(false)
  const say = useSay()
  const { may } = useSession()
  const [first] = questions
  const copy = (text: string, what: string) => void navigator.clipboard.writeText(text).then(
    () => say.done(`${what} copied`),
    () => say.failed(new Error('The browser does not allow to copy.')),
  )
  const save = async (format: 'csv' | 'ndjson') => {
    if (!first) return
    const content = await exported(first, format)
    download(`metrics.${format}`, content, format === 'csv' ? 'text/csv' : 'application/x-ndjson')
  }
  const actions = [
    { id: 'link', name: 'Copy a link', run: () => copy(location.href, 'Link') },
    { id: 'promql', name: 'Copy as PromQL', run: () => copy(questions.map((one) => one.expression).join('\n'), 'PromQL') },
    { id: 'curl', name: 'Copy as curl', run: () => copy(questions.map((one) => curl(location.origin, one)).join('\n\n'), 'Command') },
    { id: 'csv', name: 'Export as CSV', run: () => void save('csv').catch(say.failed) },
    { id: 'ndjson', name: 'Export as NDJSON', run: () => void save('ndjson').catch(say.failed) },
  ]
  return (
    <>
      {may('operate') ? (
        <Button onPress={() => setAdding(true)} isDisabled={!first}>
          <LayoutDashboard size={14} aria-hidden /> Add to a dashboard
        </Button>
      ) : null}
      <Menu label="Share and export" actions={actions}>
        <Button isDisabled={!first}>
          <Share2 size={14} aria-hidden /> Share
        </Button>
      </Menu>
      {adding ? (
        <Suspense>
          <AddToDashboard
            close={() => setAdding(false)}
            title={questions.map((one) => one.expression).join('; ').slice(0, 120)}
            queries={questions.map((one) => one.expression)}
            options={{ unit, stacking: search.stacked ? 'normal' : 'none', fill: search.drawn === 'area' ? 20 : 0 }}
          />
        </Suspense>
      ) : null}
    </>
  )
}
