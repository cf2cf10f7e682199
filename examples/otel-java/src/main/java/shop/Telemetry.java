package shop;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.instrumentation.logback.appender.v1_0.OpenTelemetryAppender;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.resources.Resource;
import java.util.Map;

/** OpenTelemetry for this process. What it leaves open is read from OTEL_* variables: sampler, exporters, intervals. */
final class Telemetry {
    private static final Resource DEFAULTS = Resource.create(Attributes.of(
            AttributeKey.stringKey("service.version"), "1.0.0",
            AttributeKey.stringKey("deployment.environment.name"), "example"));

    private Telemetry() {}

    /** The SDK, registered for the whole process; close it to send what is still buffered. */
    static OpenTelemetrySdk start() {
        OpenTelemetrySdk sdk = AutoConfiguredOpenTelemetrySdk.builder()
                // Defaults: variables win over them.
                .addPropertiesSupplier(() -> Map.of(
                        "otel.service.name", "shop-java",
                        "otel.exporter.otlp.protocol", "http/protobuf"))
                .addResourceCustomizer((found, properties) -> DEFAULTS.merge(found))
                // The shop closes it by itself, after its last request.
                .disableShutdownHook()
                .build()
                .getOpenTelemetrySdk();
        OpenTelemetryAppender.install(sdk);
        return sdk;
    }
}
