package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// startTelemetry registers traces, metrics and logs for the whole process and returns what sends the rest at the end.
//
// What is left open here is read from OTEL_* variables: the endpoint (main sets its default), the sampler, the
// intervals.
func startTelemetry(ctx context.Context) (stop func(context.Context) error, err error) {
	shared, err := describe(ctx)
	if err != nil {
		return nil, err
	}
	spans, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	points, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, err
	}
	records, err := otlploghttp.New(ctx)
	if err != nil {
		return nil, err
	}

	traces := trace.NewTracerProvider(trace.WithResource(shared), trace.WithBatcher(spans))
	metrics := metric.NewMeterProvider(metric.WithResource(shared), metric.WithReader(metric.NewPeriodicReader(points)))
	logs := sdklog.NewLoggerProvider(
		sdklog.WithResource(shared), sdklog.WithProcessor(sdklog.NewBatchProcessor(records)))
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(metrics)
	global.SetLoggerProvider(logs)
	otel.SetTextMapPropagator(
		propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))

	// slog writes to the console and to OpenTelemetry; of a record logged with a context the latter keeps trace and span.
	slog.SetDefault(slog.New(both{slog.NewJSONHandler(os.Stdout, nil), otelslog.NewHandler("shop")}))

	return func(ctx context.Context) error {
		return errors.Join(traces.Shutdown(ctx), metrics.Shutdown(ctx), logs.Shutdown(ctx))
	}, nil
}

// describe returns the resource; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the attributes named here.
func describe(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", "shop-go"),
			attribute.String("service.version", "1.0.0"),
			attribute.String("deployment.environment.name", "example"),
		),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithFromEnv(),
	)
}

// both is a slog.Handler that hands each record to two others.
type both struct{ console, telemetry slog.Handler }

func (b both) Enabled(ctx context.Context, level slog.Level) bool {
	return b.console.Enabled(ctx, level)
}

func (b both) Handle(ctx context.Context, record slog.Record) error {
	return errors.Join(b.console.Handle(ctx, record), b.telemetry.Handle(ctx, record.Clone()))
}

func (b both) WithAttrs(attributes []slog.Attr) slog.Handler {
	return both{b.console.WithAttrs(attributes), b.telemetry.WithAttrs(attributes)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b.console.WithGroup(name), b.telemetry.WithGroup(name)}
}
