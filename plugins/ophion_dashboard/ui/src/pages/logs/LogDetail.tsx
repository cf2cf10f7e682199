import { Link } from '@tanstack/react-router'
import { Filter, FilterX, X } from 'lucide-react'
import { lazy, Suspense, useState } from 'react'
import { Badge, type Tone } from '@/components/Badge'
import { Button, IconButton } from '@/components/Button'
import { CopyButton } from '@/components/Copy'
import { MINUTE } from '@/lib/time'
import { term } from './query'
import { bodyText, milliseconds, type Entry, type Level } from './records'

const LogContext = lazy(() => import('./LogContext'))

const TONES: Partial<Record<Level, Tone>> = { fatal: 'bad', error: 'bad', warn: 'warn', info: 'info' }

interface Props {
  entry: Entry
  close: () => void
  narrow: (term: string, without?: boolean) => void
}

/** Everything about one record, and where to go from it. */
export function LogDetail({ entry, close, narrow }: Props) {
  const [context, setContext] = useState(false)
  const body = bodyText(entry.body)
  const host = entry.resource['host.name']
  const at = milliseconds(entry.time)
  const around = { from: String(at - 15 * MINUTE), to: String(at + 15 * MINUTE) }
  return (
    <section className="logs-detail panel" aria-label="Log record">
      <div className="panel-head">
        <div className="row wrap">
          <Badge tone={TONES[entry.severity]}>{entry.severity_text || entry.severity}</Badge>
          <Link to="/services/$name" params={{ name: entry.service }}>
            {entry.service}
          </Link>
        </div>
        <div className="row">
          <CopyButton label="Copy the record" text={JSON.stringify(entry, null, 2)} />
          <IconButton label="Close the record" onPress={close}>
            <X size={15} aria-hidden />
          </IconButton>
        </div>
      </div>
      <div className="panel-body column">
        <div className="mono faint">{entry.time}</div>
        <pre className="code logs-body-text">{typeof entry.body === 'string' ? body : JSON.stringify(entry.body, null, 2)}</pre>
        <div className="row wrap">
          {entry.trace_id ? (
            <Link to="/traces/$traceId" params={{ traceId: entry.trace_id }} search={entry.span_id ? ({ span: entry.span_id } as never) : undefined} className="button">
              Open trace
            </Link>
          ) : null}
          <Button onPress={() => setContext(true)}>Lines around</Button>
          {typeof host === 'string' ? (
            <Link to="/hosts/$name" params={{ name: host }} search={{ ...around, at: String(at) } as never} className="button">
              Host then
            </Link>
          ) : null}
        </div>
        <Attributes title="Attributes" values={entry.attributes} narrow={narrow} />
        <Attributes title="Resource" values={entry.resource} narrow={narrow} />
        {entry.trace_id ? <Attributes title="Trace" values={{ trace_id: entry.trace_id, span_id: entry.span_id }} narrow={narrow} /> : null}
      </div>
      {context ? (
        <Suspense>
          <LogContext entry={entry} close={() => setContext(false)} />
        </Suspense>
      ) : null}
    </section>
  )
}

interface AttributesProps {
  title: string
  values: Record<string, unknown>
  narrow: (term: string, without?: boolean) => void
}

function Attributes({ title, values, narrow }: AttributesProps) {
  const entries = Object.entries(values).sort(([left], [right]) => left.localeCompare(right))
  if (entries.length === 0) return null
  return (
    <div>
      <h3>{title}</h3>
      <table className="table logs-attributes">
        <tbody>
          {entries.map(([key, value]) => (
            <tr key={key}>
              <th scope="row">{key}</th>
              <td>{typeof value === 'string' ? value : JSON.stringify(value)}</td>
              <td className="number">
                {typeof value === 'object' ? null : (
                  <>
                    <IconButton label={`Only ${key} = ${String(value)}`} onPress={() => narrow(term(key, value))}>
                      <Filter size={13} aria-hidden />
                    </IconButton>
                    <IconButton label={`Without ${key} = ${String(value)}`} onPress={() => narrow(term(key, value), true)}>
                      <FilterX size={13} aria-hidden />
                    </IconButton>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
