'use strict';
/*
 * Starts OpenTelemetry in the main thread of every Node.js process of an instrumented container, or says by a span why
 * it does not. It never throws, and prints only with OPHION_INSTRUMENT_DEBUG=1.
 */

const fs = require('fs');
const path = require('path');

const READY_SPAN = 'ophion.instrument.ready';
const SHUTDOWN_MILLISECONDS = 2000;
const DEFAULTS = {
  OTEL_TRACES_EXPORTER: 'otlp',
  OTEL_METRICS_EXPORTER: 'otlp',
  OTEL_LOGS_EXPORTER: 'otlp',
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
  // The detectors of clouds ask addresses that answer nowhere else, and hold the first spans back meanwhile.
  OTEL_NODE_RESOURCE_DETECTORS: 'env,host,os,process,container',
};
// Package managers start the application as a process of its own.
const TOOLS = ['npm-cli.js', 'npx-cli.js', 'yarn.js', 'yarn.cjs', 'pnpm.cjs', 'corepack.js'];

function printFailure(error) {
  if (process.env.OPHION_INSTRUMENT_DEBUG === '1') console.error(error);
}

function quietly(action) {
  try {
    return action();
  } catch (error) {
    printFailure(error);
    return undefined;
  }
}

function switchedOff() {
  const files = [path.join(__dirname, 'DISABLED'), '/tmp/ophion-instrument-disabled'];
  return process.env.OPHION_INSTRUMENT_DISABLED === '1' || files.some((file) => fs.existsSync(file));
}

/* A health check or `docker exec` has ancestors that end at pid 0 without passing pid 1. */
function wasExecutedIntoContainer() {
  let pid = process.pid;
  try {
    for (let steps = 0; steps < 1000; steps++) {
      if (pid === 1) return false;
      if (pid === 0) return true;
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
      pid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (!Number.isInteger(pid)) return false;
    }
  } catch {
    // Without /proc nothing can be told; go on.
  }
  return false;
}

function isWanted() {
  const { isMainThread } = require('worker_threads');
  const tool = TOOLS.includes(path.basename(process.argv[1] || ''));
  const disabled = (process.env.OTEL_SDK_DISABLED || '').toLowerCase() === 'true';
  return isMainThread && !tool && !disabled && !switchedOff() && !wasExecutedIntoContainer();
}

/* Return the folder of the packages made for this version of Node. */
function packagesFolder() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const atLeast = (a, b) => major > a || (major === a && minor >= b);
  if (atLeast(22, 15)) return path.join(__dirname, '22');
  if ((major === 18 && minor >= 19) || atLeast(20, 6)) return path.join(__dirname, '18');
  throw new Error(`Node ${process.versions.node} is not supported, 18.19 or 20.6 or later is needed`);
}

function withDefaults(action) {
  const added = Object.keys(DEFAULTS).filter((name) => process.env[name] === undefined);
  for (const name of added) process.env[name] = DEFAULTS[name];
  try {
    return action();
  } finally {
    // Programs that the application starts must not inherit settings meant for this process.
    for (const name of added) delete process.env[name];
  }
}

function startSdk() {
  const load = require('module').createRequire(path.join(packagesFolder(), 'package.json'));
  const auto = load('@opentelemetry/auto-instrumentations-node');
  const loadAuto = require('module').createRequire(load.resolve('@opentelemetry/auto-instrumentations-node'));
  registerHook(loadAuto);
  const { NodeSDK } = loadAuto('@opentelemetry/sdk-node');
  const instrumentations = auto.getNodeAutoInstrumentations();
  const sdk = new NodeSDK({ instrumentations, resourceDetectors: auto.getResourceDetectors() });
  sdk.start();
  return { sdk, api: loadAuto('@opentelemetry/api') };
}

/* Let import statements be instrumented as require() is. */
function registerHook(load) {
  const { register } = require('module');
  if (typeof register !== 'function') return;
  const { pathToFileURL } = require('url');
  register(pathToFileURL(load.resolve('@opentelemetry/instrumentation/hook.mjs')).href);
}

/*
 * Send what is still held when the process ends. A listener of SIGTERM takes away Node's own exit, so the signal is
 * given on, and where it does nothing, as it may for pid 1, the process ends with the code that it would have had.
 */
function flushAtEnd(sdk) {
  const shutdown = () => Promise.race([
    Promise.resolve(sdk.shutdown()).catch(printFailure),
    new Promise((resolve) => setTimeout(resolve, SHUTDOWN_MILLISECONDS).unref()),
  ]);
  process.once('beforeExit', () => quietly(shutdown));
  const ended = () => {
    const alone = process.listenerCount('SIGTERM') === 0;
    shutdown().then(() => {
      if (!alone) return;
      setTimeout(() => process.exit(143), 100);
      process.kill(process.pid, 'SIGTERM');
    });
  };
  process.once('SIGTERM', ended);
}

function reportReady(api) {
  if (!process.env.OPHION_INSTRUMENT_ID) return;
  const provider = api.trace.getTracerProvider();
  const tracer = provider.getTracer('ophion.instrument');
  tracer.startSpan(READY_SPAN, { root: true, attributes: { 'process.pid': process.pid } }).end();
  const delegate = typeof provider.getDelegate === 'function' ? provider.getDelegate() : provider;
  Promise.resolve(quietly(() => delegate.forceFlush())).catch(printFailure);
}

function attribute(key, value) {
  return { key, value: { stringValue: value } };
}

/* Send a span without any package, as OTLP/JSON. */
function reportFailure(reason) {
  const endpoint = process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!process.env.OPHION_INSTRUMENT_ID || !endpoint) return;
  const { randomBytes } = require('crypto');
  const pairs = (process.env.OTEL_RESOURCE_ATTRIBUTES || '').split(',').filter((pair) => pair.includes('='));
  const attributes = pairs.map((pair) => {
    const at = pair.indexOf('=');
    return attribute(pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim()));
  });
  attributes.push(attribute('service.name', process.env.OTEL_SERVICE_NAME || 'unknown_service'));
  const now = `${Date.now()}000000`;
  const span = {
    traceId: randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    name: READY_SPAN,
    kind: 1,
    startTimeUnixNano: now,
    endTimeUnixNano: now,
    attributes: [attribute('ophion.instrument.error', reason)],
    status: { code: 2, message: reason },
  };
  const scopeSpans = [{ scope: { name: 'ophion.instrument' }, spans: [span] }];
  const url = new URL(`${endpoint.replace(/\/$/, '')}/v1/traces`);
  const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, timeout: 5000 };
  const request = require(url.protocol === 'https:' ? 'https' : 'http').request(url, options, (answer) => answer.resume());
  request.on('error', printFailure);
  request.on('socket', (socket) => socket.unref());
  request.end(JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans }] }));
}

quietly(() => {
  if (!isWanted()) return;
  let started;
  try {
    started = withDefaults(startSdk);
  } catch (error) {
    printFailure(error);
    quietly(() => reportFailure(`${error.name}: ${error.message}`));
    return;
  }
  quietly(() => flushAtEnd(started.sdk));
  quietly(() => reportReady(started.api));
});
