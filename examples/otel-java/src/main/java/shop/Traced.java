package shop;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.context.propagation.TextMapPropagator;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.Callable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One server span around a request, in the trace of the caller when it sent a {@code traceparent}. */
final class Traced {
    private static final Logger LOG = LoggerFactory.getLogger("shop");
    private static final AttributeKey<String> METHOD = AttributeKey.stringKey("http.request.method");
    private static final AttributeKey<String> ROUTE = AttributeKey.stringKey("http.route");
    private static final AttributeKey<Long> STATUS = AttributeKey.longKey("http.response.status_code");
    private static final List<Double> SECONDS =
            List.of(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0);

    private final Tracer tracer;
    private final TextMapPropagator propagator;
    private final DoubleHistogram duration;

    Traced(OpenTelemetry telemetry) {
        tracer = telemetry.getTracer("shop");
        propagator = telemetry.getPropagators().getTextMapPropagator();
        duration = telemetry.getMeter("shop")
                .histogramBuilder("http.server.request.duration")
                .setUnit("s")
                .setDescription("Duration of HTTP server requests.")
                .setExplicitBucketBoundariesAdvice(SECONDS)
                .build();
    }

    HttpHandler route(String route, Callable<String> action) {
        return exchange -> {
            long started = System.nanoTime();
            Attributes attributes = Attributes.of(METHOD, exchange.getRequestMethod(), ROUTE, route);
            Span span = tracer.spanBuilder(exchange.getRequestMethod() + " " + route)
                    .setParent(propagator.extract(Context.current(), exchange.getRequestHeaders(), new FromHeaders()))
                    .setSpanKind(SpanKind.SERVER)
                    .setAllAttributes(attributes)
                    .setAttribute("url.path", exchange.getRequestURI().getPath())
                    .startSpan();
            try (var active = span.makeCurrent()) {
                long status = answer(exchange, route, action, span);
                span.setAttribute(STATUS, status);
                double seconds = (System.nanoTime() - started) / 1e9;
                duration.record(seconds, attributes.toBuilder().put(STATUS, status).build());
            } finally {
                span.end();
            }
        };
    }

    private static long answer(HttpExchange exchange, String route, Callable<String> action, Span span)
            throws IOException {
        int status = 200;
        String body;
        try {
            body = action.call();
        } catch (Exception error) {
            span.setStatus(StatusCode.ERROR, error.getMessage());
            span.setAttribute("error.type", error.getClass().getName());
            LOG.error("{} failed", route.substring(1), error);
            status = 500;
            body = error.getMessage() + "\n";
        }
        byte[] bytes = body.getBytes();
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
        return status;
    }

    private static final class FromHeaders implements TextMapGetter<Headers> {
        @Override
        public Iterable<String> keys(Headers headers) {
            return headers.keySet();
        }

        @Override
        public String get(Headers headers, String name) {
            return headers == null ? null : headers.getFirst(name);
        }
    }
}
