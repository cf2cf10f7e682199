import { Link } from '@tanstack/react-router'
import type { SchemaIngestRates } from '@/api/client'
import { Panel } from '@/components/Panel'
import { Stat } from '@/components/Stat'
import { count, rate } from '@/lib/format'

interface Props {
  ingest: SchemaIngestRates
  levels: Readonly<Record<string, number>>
}

/** What has come in during the last five minutes, and the log records of the range by level. */
export function Ingest({ ingest, levels }: Props) {
  return (
    <Panel title="What comes in" actions={<span className="faint small">last five minutes</span>}>
      <div className="overview-ingest">
        <Stat label="Spans" note={<Link to="/traces">All traces</Link>} value={rate(ingest.spans_per_second)} />
        <Stat label="Log records" note={<Link to="/logs">All logs</Link>} value={rate(ingest.log_records_per_second)} />
        <Stat label="Metric samples" note={<Link to="/metrics">Explore</Link>} value={rate(ingest.samples_per_second)} />
      </div>
      <p className="row wrap overview-levels">
        <span className="faint">Logs in this range:</span>
        {Object.entries(levels)
          .toReversed()
          .map(([level, number]) => (
            <Link key={level} to="/logs" search={{ level: level === 'unspecified' ? undefined : level } as never}>
              {count(number)} {level}
            </Link>
          ))}
        {Object.keys(levels).length === 0 ? <span className="faint">none</span> : null}
      </p>
    </Panel>
  )
}
