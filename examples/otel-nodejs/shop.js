// A shop of two endpoints: GET /order is slow, GET /refund fails.
import { flushAndStop, log } from './telemetry.js';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

const tracer = trace.getTracer('shop');
const meter = metrics.getMeter('shop');
const orders = meter.createCounter('shop.orders', { unit: '{order}', description: 'Orders that were paid.' });
const duration = meter.createHistogram('http.server.request.duration', {
  unit: 's',
  description: 'Duration of HTTP server requests.',
  advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
});

async function order() {
  await tracer.startActiveSpan('charge card', async (span) => {
    span.setAttribute('payment.method', 'card');
    await sleep(300);
    span.end();
  });
  orders.add(1, { item: 'tea' });
  log('INFO', 'order placed', { item: 'tea' });
  return 'order placed\n';
}

async function refund() {
  return tracer.startActiveSpan('find payment', (span) => {
    try {
      throw new Error('payment not found');
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      span.end();
    }
  });
}

const routes = { '/order': order, '/refund': refund };

/** One server span around a request, in the trace of the caller when it sent a `traceparent`. */
async function serve(request, response) {
  const path = new URL(request.url, 'http://shop').pathname;
  const route = path in routes ? path : undefined;
  const attributes = { 'http.request.method': request.method, ...(route && { 'http.route': route }) };
  const options = { kind: SpanKind.SERVER, attributes: { ...attributes, 'url.path': path } };
  const caller = propagation.extract(context.active(), request.headers);
  const started = performance.now();
  await tracer.startActiveSpan(`${request.method}${route ? ` ${route}` : ''}`, options, caller, async (span) => {
    const [status, body] = await answer(route, span);
    response.writeHead(status, { 'content-type': 'text/plain' }).end(body);
    span.setAttribute('http.response.status_code', status);
    span.end();
    duration.record((performance.now() - started) / 1000, { ...attributes, 'http.response.status_code': status });
  });
}

async function answer(route, span) {
  if (!route) return [404, 'not found\n'];
  try {
    return [200, await routes[route]()];
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    span.setAttribute('error.type', error.name);
    log('ERROR', `${route.slice(1)} failed`, { 'exception.message': error.message });
    return [500, `${error.message}\n`];
  }
}

const server = createServer(serve);
server.listen(Number(process.env.PORT ?? 8000), () => log('INFO', `listening on port ${server.address().port}`));

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => server.close(() => flushAndStop().then(() => process.exit(0))));
}
