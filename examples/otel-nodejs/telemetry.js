// OpenTelemetry for this process. Import it first. What it leaves open is read from OTEL_* variables: the endpoint
// (http://localhost:4318), the protocol, the sampler, the exporters, the intervals.
import { logs, SeverityNumber } from '@opentelemetry/api-logs';
import { trace } from '@opentelemetry/api';
import { NodeSDK, resources } from '@opentelemetry/sdk-node';

// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over these.
const sdk = new NodeSDK({
  resource: resources.defaultResource().merge(
    resources.resourceFromAttributes({
      'service.name': 'shop-nodejs',
      'service.version': '1.0.0',
      'deployment.environment.name': 'example',
    }),
  ),
});
sdk.start();

const logger = logs.getLogger('shop');

/** Log one line to the console and to OpenTelemetry, which adds the trace and span that are active. */
export function log(severity, message, attributes = {}) {
  const { traceId } = trace.getActiveSpan()?.spanContext() ?? {};
  console.log(JSON.stringify({ severity, message, ...attributes, trace_id: traceId }));
  logger.emit({
    severityNumber: SeverityNumber[severity],
    severityText: severity,
    body: message,
    attributes,
  });
}

/** Send what is still buffered; a process that ends without this loses its last seconds. */
export const flushAndStop = () => sdk.shutdown();
