import { Download } from 'lucide-react'
import { Button as AriaButton } from 'react-aria-components'
import { Menu } from '@/components/Menu'
import { useSay } from '@/components/Toasts'
import type { Range } from '@/lib/time'
import type { Filters } from './query'

interface Props {
  range: Range
  filters: Filters
  order?: string
}

function address({ range, filters, order }: Props, format: string): string {
  const parameters = new URLSearchParams({ from: String(range.start), to: String(range.end), format })
  if (filters.query) parameters.set('query', filters.query)
  if (filters.severity_min) parameters.set('severity_min', filters.severity_min)
  if (filters.trace_id) parameters.set('trace_id', filters.trace_id)
  if (order) parameters.set('order', order)
  return `/api/logs?${parameters}`
}

/** All records that match, as a file, or the request for a shell. */
export function ExportMenu(props: Props) {
  const say = useSay()
  const copyCurl = async () => {
    const command = `curl -H "Authorization: Bearer $OPHION_KEY" '${location.origin}${address(props, 'ndjson').replaceAll("'", '%27')}'`
    await navigator.clipboard.writeText(command)
    say.done('Copied. Make a key for it under Administration, Keys.')
  }
  const actions = [
    { id: 'csv', name: 'Download CSV', run: () => location.assign(address(props, 'csv')) },
    { id: 'ndjson', name: 'Download NDJSON', run: () => location.assign(address(props, 'ndjson')) },
    { id: 'curl', name: 'Copy as curl', run: () => void copyCurl().catch(say.failed) },
    { id: 'link', name: 'Copy link', run: () => void navigator.clipboard.writeText(location.href).then(() => say.done('Copied.'), say.failed) },
  ]
  return (
    <Menu label="Export" actions={actions}>
      <AriaButton className="button">
        <Download size={15} aria-hidden /> Export
      </AriaButton>
    </Menu>
  )
}
