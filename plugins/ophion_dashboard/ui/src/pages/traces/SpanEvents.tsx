import { Badge } from '@/components/Badge'
import { CopyButton } from '@/components/Copy'
import type { SchemaSpanView } from '@/api/client'
import { duration } from '@/lib/format'
import { Attributes } from './Attributes'
import { textOf } from './links'

interface Props {
  events: SchemaSpanView['events']
  /** Begin of the span. */
  since: number
  filter: string
}

const STACK = 'exception.stacktrace'

/** What happened during a span; exceptions with their stack trace. */
export function SpanEvents({ events, since, filter }: Props) {
  if (!events.length) return null
  return (
    <section aria-label="Events" className="column">
      <h3>
        Events <span className="faint">{events.length}</span>
      </h3>
      <ol className="column">
        {events.map((event, at) => (
          <li key={at} className="traces-happened">
            <div className="row spread">
              {event.name === 'exception' ? <Badge tone="bad">exception</Badge> : <b className="ellipsis">{event.name}</b>}
              <span className="faint small">+{duration((event.offset_ms - since) * 1e6)}</span>
            </div>
            {event.name === 'exception' ? <Exception attributes={event.attributes} /> : null}
            <Attributes title="Attributes of the event" attributes={rest(event)} filter={filter} />
          </li>
        ))}
      </ol>
    </section>
  )
}

function rest(event: Props['events'][number]): Record<string, unknown> {
  if (event.name !== 'exception') return event.attributes
  const known = ['exception.type', 'exception.message', STACK]
  return Object.fromEntries(Object.entries(event.attributes).filter(([key]) => !known.includes(key)))
}

function Exception({ attributes }: { attributes: Record<string, unknown> }) {
  const stack = textOf(attributes, STACK)
  return (
    <div className="column">
      <div>
        <b>{textOf(attributes, 'exception.type')}</b> {textOf(attributes, 'exception.message')}
      </div>
      {stack ? (
        <div className="traces-stack">
          <pre tabIndex={0} aria-label="Stack trace">
            {stack}
          </pre>
          <CopyButton text={stack} label="Copy the stack trace" />
        </div>
      ) : null}
    </div>
  )
}
