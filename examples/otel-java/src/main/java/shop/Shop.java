package shop;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A shop of two endpoints: GET /order is slow, GET /refund fails. */
public final class Shop {
    private static final Logger LOG = LoggerFactory.getLogger("shop");

    private Shop() {}

    public static void main(String[] arguments) throws IOException {
        OpenTelemetrySdk telemetry = Telemetry.start();
        Counter counter = new Counter(telemetry);
        Traced traced = new Traced(telemetry);
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/order", traced.route("/order", counter::order));
        server.createContext("/refund", traced.route("/refund", counter::refund));
        ExecutorService workers = Executors.newFixedThreadPool(8);
        server.setExecutor(workers);
        server.start();
        LOG.info("listening on port {}", server.getAddress().getPort());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            server.stop(1);
            workers.shutdown();
            // Sends what is still buffered; a process that ends without this loses its last seconds.
            telemetry.close();
        }));
    }
}
