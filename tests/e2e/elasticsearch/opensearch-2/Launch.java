import java.util.Collections;
import java.util.List;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** A node of its own cluster, with its files in a directory and HTTP at a port: `DIRECTORY PORT`. */
public class Launch {
    static class OneNode extends Node {
        OneNode(Environment environment) {
            super(environment, List.of(Netty4Plugin.class), false);
        }
    }

    public static void main(String[] args) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", args[0])
            .put("http.port", args[1])
            .put("transport.port", "0")
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            // The disk of whoever runs tests may be fuller than a server likes.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        new OneNode(InternalSettingsPreparer.prepareEnvironment(settings, Collections.emptyMap(), null, () -> "test")).start();
        Thread.currentThread().join();
    }
}
