//! The `.proto` files, the code generated from them, and conversions to and from [`model`].
//!
//! Nothing else lives here, and nothing generated goes further than the handlers that speak gRPC:
//! they convert at once. The files under `proto/` are ours; their field numbers are Prometheus'
//! and Thanos'.

mod convert;
mod remote;

pub use convert::ConvertError;
pub use remote::{labels_from_wire, labels_to_wire};

/// Generated code; documented in the `.proto` files.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::clone_on_ref_ptr,
    reason = "generated"
)]
mod generated {
    pub mod hintspb {
        tonic::include_proto!("hintspb");
    }
    pub mod write_v2 {
        tonic::include_proto!("io.prometheus.write.v2");
    }
    pub mod prometheus_copy {
        tonic::include_proto!("prometheus_copy");
    }
    pub mod client {
        tonic::include_proto!("io.prometheus.client");
    }
    pub mod thanos {
        tonic::include_proto!("thanos");
        pub mod info {
            tonic::include_proto!("thanos.info");
        }
    }
}

/// The `.proto` files as a `FileDescriptorSet`, for who asks what is served.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What targets expose as protobuf.
pub use generated::client;
/// What Thanos' store gateway takes and gives as hints.
pub use generated::hintspb as hints;
/// Prometheus' remote read messages, and those of remote write 1.0.
pub use generated::prometheus_copy as prometheus;
/// Thanos' StoreAPI, WriteableStore, Info, Query, Rules, Targets, Metadata, Exemplars and Status
/// messages and services.
pub use generated::thanos;
/// The messages of remote write 2.0.
pub use generated::write_v2;
