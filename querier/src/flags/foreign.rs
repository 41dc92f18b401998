//! Flags of Thanos' querier that this one has not.

use runtime::{ForeignFlags, RefusedFlag};

/// Why flags are refused that leave a part of the data out of answers.
const SELECTION: &str = "a querier answers over all that its endpoints have here; leave the flag out and \
     name only the endpoints that are to be asked";

/// Why flags are refused that older versions of Thanos had.
const GONE: &str = "as in Thanos there is no such flag any more; name the address by --endpoint, which asks \
     for all that it has";

/// Flags of Thanos' counterpart that this version accepts and ignores.
pub const FOREIGN_FLAGS: ForeignFlags = ForeignFlags {
    with_value: &[
        "endpoint.sd-config-reload-interval",
        "store.sd-interval",
        "store.sd-dns-resolver",
        "grpc-compression",
        "query.promql-engine",
        "query.mode",
        "query.max-concurrent-select",
        "query.partition-label",
        "grpc.proxy-strategy",
        "query.lazy-retrieval-max-buffered-responses",
        "query.conn-metric.label",
        "alert.query-url",
        // Labels that are announced upwards, and no selection.
        "selector-label",
    ],
    switches: &[
        "query.enable-x-functions",
        "query.distributed-with-overlapping-interval",
        "rule.partial-response",
        "target.partial-response",
        "metric-metadata.partial-response",
        "exemplar.partial-response",
    ],
    loud: &[],
    refused: &[
        RefusedFlag {
            name: "query.tenant-certificate-field",
            harmless: &[""],
            reason: "tenants are not told by certificates here, so that all would be one; leave the \
                     flag out and have a proxy set --query.tenant-header",
        },
        RefusedFlag {
            name: "selector.relabel-config",
            harmless: &["", "[]"],
            reason: SELECTION,
        },
        RefusedFlag {
            name: "selector.relabel-config-file",
            harmless: &[""],
            reason: SELECTION,
        },
        RefusedFlag {
            name: "store",
            harmless: &[],
            reason: GONE,
        },
        RefusedFlag {
            name: "store-strict",
            harmless: &[],
            reason: GONE,
        },
        RefusedFlag {
            name: "rule",
            harmless: &[],
            reason: GONE,
        },
        RefusedFlag {
            name: "target",
            harmless: &[],
            reason: GONE,
        },
        RefusedFlag {
            name: "metadata",
            harmless: &[],
            reason: GONE,
        },
        RefusedFlag {
            name: "exemplar",
            harmless: &[],
            reason: GONE,
        },
    ],
};
