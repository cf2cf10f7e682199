// Sends one trace, one set of metrics and one log record with the OpenTelemetry JS SDK over OTLP/HTTP with JSON.
// node send.mjs ENDPOINT SERVICE_NAME

import { SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [endpoint, serviceName] = process.argv.slice(2);
const resource = resourceFromAttributes({ "service.name": serviceName, "service.version": "1.2.3" });
const options = (path) => ({ url: `${endpoint}${path}`, compression: "gzip" });

const tracing = new NodeTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(options("/v1/traces")))],
});
const metering = new MeterProvider({
  resource,
  readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(options("/v1/metrics")) })],
});
const logging = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(options("/v1/logs")) })],
});

const tracer = tracing.getTracer("shop", "0.9");
const parent = tracer.startSpan("POST /orders", { kind: SpanKind.SERVER, attributes: { "http.response.status_code": 201 } });
const within = trace.setSpan(context.active(), parent);
const child = tracer.startSpan("INSERT orders", { kind: SpanKind.CLIENT, attributes: { "db.rows": 3, ratio: 0.5, tags: ["a", "b"] } }, within);
child.addEvent("retry", { attempt: 1 });
child.setStatus({ code: SpanStatusCode.ERROR, message: "deadlock" });
child.end();
parent.end();

const meter = metering.getMeter("shop");
meter.createCounter("orders.placed", { unit: "{order}" }).add(2, { region: "eu" });
meter.createUpDownCounter("carts.open").add(-1);
meter.createObservableGauge("room.temperature", { unit: "Cel" }).addCallback((result) => result.observe(21.5));
const latency = meter.createHistogram("order.duration", { unit: "s", advice: { explicitBucketBoundaries: [0.1, 1] } });
[0.05, 0.5, 5].forEach((seconds) => latency.record(seconds, { region: "eu" }));

logging.getLogger("shop").emit({
  severityNumber: SeverityNumber.WARN,
  severityText: "WARN",
  body: "order 7 is late",
  attributes: { "order.id": 7 },
  context: within,
});

for (const provider of [tracing, metering, logging]) {
  await provider.forceFlush();
  await provider.shutdown();
}
const { traceId, spanId } = parent.spanContext();
console.log(JSON.stringify({ traceId, spanId }));
