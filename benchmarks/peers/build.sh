#!/bin/sh
# Builds the OpenTelemetry Collector that the benchmarks run beside ours, from Go modules, into
# build/otelcol/otelcol-bench here (outside git). Needs a Go toolchain and its module proxy; takes minutes.
set -eu
cd "$(dirname "$0")"
builder_version=v0.159.0
mkdir -p build
CGO_ENABLED=0 go run "go.opentelemetry.io/collector/cmd/builder@${builder_version}" --config otelcol.yaml
./build/otelcol/otelcol-bench --version
