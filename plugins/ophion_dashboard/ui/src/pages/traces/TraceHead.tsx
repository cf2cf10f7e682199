import { Link } from '@tanstack/react-router'
import { GitCompareArrows, Link2 } from 'lucide-react'
import { Badge, Dot } from '@/components/Badge'
import { Button } from '@/components/Button'
import { CopyButton } from '@/components/Copy'
import { useSay } from '@/components/Toasts'
import { nameColor } from '@/lib/colors'
import { count, duration } from '@/lib/format'
import { clock } from '@/lib/time'
import { useTheme } from '@/shell/theme'
import { useTime } from '@/shell/time'
import { traceNotes } from './oddities'
import type { Trace } from './useTrace'

const MOST_SERVICES = 8

/** The figures of a trace in one line. */
export function TraceFacts({ trace }: { trace: Trace }) {
  const { dark } = useTheme()
  const { zone } = useTime()
  const { view, tree } = trace
  const more = view.services.length - MOST_SERVICES
  return (
    <dl className="traces-facts">
      <Fact name="Duration" value={<b>{duration(view.duration_ms * 1e6)}</b>} />
      <Fact name="Start" value={clock(trace.startMs, zone, 3)} />
      <Fact name="Spans" value={count(view.spans.length)} />
      <Fact name="Depth" value={tree.deepest + 1} />
      <Fact name="Errors" value={view.errors ? <Badge tone="bad">{count(view.errors)}</Badge> : 'none'} />
      <Fact
        name="Services"
        value={
          <span className="row wrap">
            {view.services.slice(0, MOST_SERVICES).map((service) => (
              <Link key={service.name} to="/services/$name" params={{ name: service.name }} className="row" title={`${service.spans} spans`}>
                <Dot color={nameColor(service.name, dark)} />
                {service.name}
              </Link>
            ))}
            {more > 0 ? <span className="faint">and {more} more</span> : null}
          </span>
        }
      />
    </dl>
  )
}

function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}

export function TraceActions({ traceId }: { traceId: string }) {
  const say = useSay()
  const copyLink = () => void navigator.clipboard.writeText(location.href).then(() => say.done('Link copied'), say.failed)
  return (
    <>
      <CopyButton text={traceId} label="Copy trace id" wide />
      <Button onPress={copyLink}>
        <Link2 size={14} aria-hidden /> Copy link
      </Button>
      <Link to="/traces/compare" search={{ a: traceId }} className="button">
        <GitCompareArrows size={14} aria-hidden /> Compare
      </Link>
    </>
  )
}

/** What one should know before reading the trace. */
export function TraceNotes({ trace }: { trace: Trace }) {
  const notes = traceNotes(trace.tree)
  if (trace.view.truncated) notes.unshift(`Only the first ${count(trace.view.spans.length)} spans are shown; the trace has more than the server hands out at once.`)
  if (!notes.length) return null
  return (
    <div className="notice warn" role="note">
      <ul>
        {notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </div>
  )
}
