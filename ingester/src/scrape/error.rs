//! Why a scrape failed, in Prometheus' words.

use model::histogram::InvalidHistogram;
use tsdb::batch::WriteError;

use super::client;
use crate::exposition;

/// Why a scrape failed; nothing of it was kept but that it did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("Get {url:?}: {source}")]
    Request { url: String, source: client::Error },
    #[error("Get {0:?}: context deadline exceeded")]
    Timeout(String),
    #[error("server returned HTTP status {0}")]
    Status(reqwest::StatusCode),
    #[error("body size limit exceeded")]
    BodySize,
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    NoContentType,
    #[error(
        "received unsupported Content-Type {0:?} and no fallback_scrape_protocol specified for target"
    )]
    ContentType(String),
    #[error(transparent)]
    Text(#[from] exposition::Error),
    #[error(transparent)]
    Protobuf(#[from] exposition::protobuf::Error),
    #[error("cannot parse Content-Type {0:?} and no fallback_scrape_protocol for target: {1}")]
    MalformedContentType(String, &'static str),
    #[error(
        "received OpenMetrics 2.0 Content-Type {0:?}, which is not read, and no fallback_scrape_protocol specified for target"
    )]
    OpenMetrics2(String),
    #[error("gzip: {0}")]
    Gzip(std::io::Error),
    #[error("Get {0:?}: unsupported protocol scheme {1:?}")]
    Scheme(String, String),
    #[error("sample limit exceeded")]
    SampleLimit,
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    #[error("target_limit exceeded (number of targets: {targets}, limit: {limit})")]
    TargetLimit { targets: usize, limit: u64 },
    #[error(
        "label_limit exceeded (metric: {metric:.50}, number of labels: {found}, limit: {limit})"
    )]
    LabelLimit {
        metric: String,
        found: usize,
        limit: u64,
    },
    #[error(
        "label_name_length_limit exceeded (metric: {metric:.50}, label name: {name:.50}, length: {}, limit: {limit})",
        name.len()
    )]
    LabelNameLimit {
        metric: String,
        name: String,
        limit: u64,
    },
    #[error(
        "label_value_length_limit exceeded (metric: {metric:.50}, label name: {name:.50}, value: {value:.50?}, length: {}, limit: {limit})",
        value.len()
    )]
    LabelValueLimit {
        metric: String,
        name: String,
        value: String,
        limit: u64,
    },
    #[error("missing metric name (__name__ label)")]
    NoName,
    #[error("invalid metric name or label names: {0}")]
    InvalidName(String),
    #[error("label name {0:?} is not unique: invalid sample")]
    DuplicateLabel(String),
    #[error(transparent)]
    Histogram(#[from] InvalidHistogram),
    #[error("append samples: {0}")]
    Append(WriteError),
}
