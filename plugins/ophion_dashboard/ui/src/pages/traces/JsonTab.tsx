import { useQuery } from '@tanstack/react-query'
import { Download } from 'lucide-react'
import { useMemo } from 'react'
import { text } from '@/api/client'
import { CopyButton } from '@/components/Copy'
import { Loaded } from '@/components/States'
import { bytes, count } from '@/lib/format'
import { curlOf } from './filters'
import { useSeen } from './useSeen'

const LINE_HEIGHT = 18

/** The trace as it was sent, in OTLP's JSON; of long ones only what is seen is drawn. */
export function JsonTab({ traceId }: { traceId: string }) {
  const path = `/api/traces/${traceId}?format=otlp`
  const query = useQuery({ queryKey: ['traces', 'json', traceId], queryFn: ({ signal }) => text(path, { signal }), structuralSharing: false, placeholderData: undefined })
  return (
    <div className="column">
      <Loaded query={query} height={400}>
        {(body) => <Lines body={body} path={path} traceId={traceId} />}
      </Loaded>
    </div>
  )
}

function Lines({ body, path, traceId }: { body: string; path: string; traceId: string }) {
  const pretty = useMemo(() => JSON.stringify(JSON.parse(body), null, 2), [body])
  const lines = useMemo(() => pretty.split('\n'), [pretty])
  const { scroller, first, last, onScroll } = useSeen(lines.length, LINE_HEIGHT)
  return (
    <>
      <div className="row wrap">
        <a className="button" href={path} download={`trace-${traceId}.json`}>
          <Download size={14} aria-hidden /> Download
        </a>
        <CopyButton text={pretty} label="Copy JSON" wide />
        <CopyButton text={curlOf(`${location.origin}${path}`)} label="Copy as curl" wide />
        <span className="faint small">
          OTLP/JSON, {count(lines.length)} lines, {bytes(body.length)}
        </span>
      </div>
      <div ref={scroller} className="traces-json" onScroll={onScroll} tabIndex={0} role="region" aria-label="Trace as JSON">
        <pre style={{ height: lines.length * LINE_HEIGHT }}>
          <code style={{ transform: `translateY(${first * LINE_HEIGHT}px)` }}>{lines.slice(first, last).join('\n')}</code>
        </pre>
      </div>
    </>
  )
}
