package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var (
	errNoPayment = errors.New("payment not found")
	item         = attribute.String("item", "tea")
)

type shop struct {
	tracer   trace.Tracer
	orders   metric.Int64Counter
	duration metric.Float64Histogram
}

// newShop returns the routes, each inside of a span.
func newShop() (http.Handler, error) {
	meter := otel.Meter("shop")
	orders, err := meter.Int64Counter("shop.orders",
		metric.WithUnit("{order}"), metric.WithDescription("Orders that were paid."))
	if err != nil {
		return nil, err
	}
	duration, err := meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	if err != nil {
		return nil, err
	}
	s := &shop{tracer: otel.Tracer("shop"), orders: orders, duration: duration}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /order", s.traced("/order", s.order))
	routes.HandleFunc("GET /refund", s.traced("/refund", s.refund))
	return routes, nil
}

// order takes 0.3 s.
func (s *shop) order(ctx context.Context) error {
	s.chargeCard(ctx)
	s.orders.Add(ctx, 1, metric.WithAttributes(item))
	slog.InfoContext(ctx, "order placed", "item", item.Value.AsString())
	return nil
}

func (s *shop) chargeCard(ctx context.Context) {
	_, span := s.tracer.Start(ctx, "charge card", trace.WithAttributes(attribute.String("payment.method", "card")))
	defer span.End()
	time.Sleep(300 * time.Millisecond)
}

// refund fails.
func (s *shop) refund(ctx context.Context) error {
	_, span := s.tracer.Start(ctx, "find payment")
	defer span.End()
	span.RecordError(errNoPayment, trace.WithStackTrace(true))
	span.SetStatus(codes.Error, errNoPayment.Error())
	return fmt.Errorf("refund: %w", errNoPayment)
}

// traced puts one server span around a request, in the trace of the caller when it sent a `traceparent`.
func (s *shop) traced(route string, handle func(context.Context) error) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		attributes := []attribute.KeyValue{
			attribute.String("http.request.method", request.Method), attribute.String("http.route", route)}
		caller := otel.GetTextMapPropagator().Extract(request.Context(), propagation.HeaderCarrier(request.Header))
		ctx, span := s.tracer.Start(caller, request.Method+" "+route,
			trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...),
			trace.WithAttributes(attribute.String("url.path", request.URL.Path)))
		started := time.Now()

		status, body := http.StatusOK, route[1:]+" placed\n"
		if err := handle(ctx); err != nil {
			span.SetStatus(codes.Error, err.Error())
			span.SetAttributes(attribute.String("error.type", fmt.Sprintf("%T", err)))
			slog.ErrorContext(ctx, route[1:]+" failed", "error", err.Error())
			status, body = http.StatusInternalServerError, err.Error()+"\n"
		}
		code := attribute.Int("http.response.status_code", status)
		span.SetAttributes(code)
		span.End()
		s.duration.Record(ctx, time.Since(started).Seconds(), metric.WithAttributes(append(attributes, code)...))
		response.WriteHeader(status)
		_, _ = response.Write([]byte(body))
	}
}
