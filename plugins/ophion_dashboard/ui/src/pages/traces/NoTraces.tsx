import { Link } from '@tanstack/react-router'
import { Button } from '@/components/Button'
import { Empty } from '@/components/States'
import { useSession } from '@/shell/session'

/** What to do where no trace was found. */
export function NoTraces({ filtered, clear }: { filtered: boolean; clear: () => void }) {
  const { may } = useSession()
  if (filtered) {
    return (
      <Empty title="No trace in this time range matches">
        <p>Remove a filter, or choose a longer time range at the top.</p>
        <Button onPress={clear}>Clear the filters</Button>
      </Empty>
    )
  }
  const host = location.hostname
  return (
    <Empty title="No traces in this time range">
      <p>Choose a longer time range, or send traces: any OpenTelemetry SDK does, with these two settings.</p>
      <pre className="code" tabIndex={0}>{`OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4317\nOTEL_SERVICE_NAME=my-service`}</pre>
      {may('admin') ? (
        <p>
          A sender from elsewhere needs an ingest key: <Link to="/admin" search={{ tab: 'keys' }}>make one</Link>.
        </p>
      ) : null}
    </Empty>
  )
}
