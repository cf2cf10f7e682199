package shop;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the shop does for its customers. */
final class Counter {
    private static final Logger LOG = LoggerFactory.getLogger("shop");
    private static final Attributes TEA = Attributes.of(AttributeKey.stringKey("item"), "tea");

    private final Tracer tracer;
    private final LongCounter orders;

    Counter(OpenTelemetry telemetry) {
        tracer = telemetry.getTracer("shop");
        orders = telemetry.getMeter("shop")
                .counterBuilder("shop.orders")
                .setUnit("{order}")
                .setDescription("Orders that were paid.")
                .build();
    }

    /** Takes 0.3 s. */
    String order() throws InterruptedException {
        chargeCard();
        orders.add(1, TEA);
        LOG.atInfo().addKeyValue("item", "tea").log("order placed");
        return "order placed\n";
    }

    private void chargeCard() throws InterruptedException {
        Span span = tracer.spanBuilder("charge card").setAttribute("payment.method", "card").startSpan();
        try (var active = span.makeCurrent()) {
            Thread.sleep(300);
        } finally {
            span.end();
        }
    }

    /** Fails. */
    String refund() {
        Span span = tracer.spanBuilder("find payment").startSpan();
        try (var active = span.makeCurrent()) {
            throw new IllegalStateException("payment not found");
        } catch (IllegalStateException error) {
            span.recordException(error);
            span.setStatus(StatusCode.ERROR, error.getMessage());
            throw error;
        } finally {
            span.end();
        }
    }
}
