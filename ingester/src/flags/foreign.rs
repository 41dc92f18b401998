//! Flags of Thanos' counterpart, Prometheus included, that are accepted without effect or refused.

use runtime::{ForeignFlags, RefusedFlag};

/// Why flags are refused that spread series over several receivers.
const ONE_RECEIVER: &str = "series are not spread over receivers here: each stores what it is sent; \
     leave the flag out and let writers send to as many as they need";

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "tsdb.min-block-duration",
        "tsdb.max-block-duration",
        "tsdb.out-of-order.cap-max",
        "tsdb.head.expanded-postings-cache-size",
        "tsdb.block.expanded-postings-cache-size",
        "tsdb.write-queue-size",
        "remote-write.server-tls-ciphers",
        "remote-write.server-tls-curves",
        "remote-write.client-tls-cert",
        "remote-write.client-tls-key",
        "remote-write.client-tls-ca",
        "remote-write.client-server-name",
        "receive.hashrings-file-refresh-interval",
        "receive.hashrings-algorithm",
        "receive.local-endpoint",
        "receive.replica-header",
        "receive.replication-protocol",
        "receive.capnproto-address",
        "receive.forward.async-workers",
        "receive.grpc-compression",
        "receive.grpc-service-config",
        "receive-forward-timeout",
        "receive-forward-max-backoff",
        "receive.otlp-promote-resource-attributes",
    ],
    switches: &[
        "tsdb.wal-compression",
        "tsdb.memory-snapshot-on-shutdown",
        "tsdb.allow-overlapping-blocks",
        "receive.otlp-enable-target-info",
        "shipper.ignore-unequal-block-size",
        "shipper.allow-out-of-order-uploads",
        "tsdb.enable-native-histograms",
    ],
    refused: &[
        RefusedFlag {
            name: "receive.hashrings",
            harmless: &["", "[]"],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.hashrings-file",
            harmless: &[""],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.replication-factor",
            harmless: &["", "0", "1"],
            reason: ONE_RECEIVER,
        },
        RefusedFlag {
            name: "receive.tenant-certificate-field",
            harmless: &[""],
            reason: "tenants are not told by certificates here, so that all writes would go to one; \
                     leave the flag out and have a proxy set --receive.tenant-header",
        },
    ],
};
