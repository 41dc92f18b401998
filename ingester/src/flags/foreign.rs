//! Flags of Thanos' counterpart, Prometheus included, that are accepted without effect or refused.

use runtime::{ForeignFlags, LoudFlag, RefusedFlag};

/// A receiver that has this stores, beside what it leads to others; one without only leads elsewhere, and
/// nobody looks for data in it.
const LOCAL: &str = "receive.local-endpoint";

/// What is said of flags that spread series over several receivers.
const ONE_RECEIVER: &str = "series are not spread over receivers here: each stores what it is sent, and \
     queriers have to ask every one; leave the flag out and have writers send to the receivers themselves";

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
        "remote-write.client-tls-secure",
        "remote-write.client-tls-skip-verify",
        "tsdb.wal-compression",
        "tsdb.memory-snapshot-on-shutdown",
        "tsdb.allow-overlapping-blocks",
        "receive.otlp-enable-target-info",
        "shipper.ignore-unequal-block-size",
        "shipper.allow-out-of-order-uploads",
        "tsdb.enable-native-histograms",
    ],
    loud: &[
        LoudFlag {
            name: "receive.hashrings",
            harmless: &["", "[]"],
            only_with: Some(LOCAL),
            reason: ONE_RECEIVER,
        },
        LoudFlag {
            name: "receive.hashrings-file",
            harmless: &[""],
            only_with: Some(LOCAL),
            reason: ONE_RECEIVER,
        },
        LoudFlag {
            name: "receive.replication-factor",
            harmless: &["", "0", "1"],
            only_with: None,
            reason: "what is sent here is stored here only, once; have writers send to as many receivers as \
                     there should be copies, each with a --label of its own that queriers take for a \
                     replica's",
        },
    ],
    refused: &[RefusedFlag {
        name: "receive.tenant-certificate-field",
        harmless: &[""],
        reason: "tenants are not told by certificates here, so that all writes would go to one; \
                     leave the flag out and have a proxy set --receive.tenant-header",
    }],
};
