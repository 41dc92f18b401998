//! gRPC servers and clients: sockets, TLS, limits, health; not what is served.
//!
//! Reading order: [`flags`], [`server`], [`channel`], and how error kinds and gRPC's
//! codes correspond ([`code_of`], [`kind_of`]).

pub mod call_log;
mod channel;
mod figures;
pub mod flags;
mod gathering;
mod incoming;
mod message_limit;
mod own_thread;
pub mod server;
mod snappy;

use model::ErrorKind;
use tonic::Code;

pub use crate::readiness::Readiness;
pub use channel::Connector;
pub use figures::{GrpcMetrics, Running};
pub use flags::{GrpcClientConfig, GrpcClientFlags, GrpcServerConfig, GrpcServerFlags, server_tls};
pub use message_limit::{BoundedChannel, MessageLimit};
pub use own_thread::OwnThread;
pub use server::Server;

/// The metadata key by which a request says whom it is for.
pub const TENANT_KEY: &str = "thanos-tenant";
/// Whom a request is for that does not say so.
pub const DEFAULT_TENANT: &str = "default-tenant";

/// Bytes of a stream that may be underway, so that a stream fills a fast link.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same of a connection with all its streams.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// gRPC's code for a kind of error.
pub const fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::AlreadyExists,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The kind of error that a peer's code stands for. Thanos answers `Aborted` when it cannot have all
/// of an answer that must not be partial, and `Unknown` where its authors did not choose.
pub const fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::Invalid,
        Code::NotFound | Code::Unimplemented => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::Unknown => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Exhausted,
            ErrorKind::Unavailable,
            ErrorKind::Cancelled,
            ErrorKind::Corrupt,
            ErrorKind::Internal,
        ] {
            assert_eq!(kind_of(code_of(kind)), kind);
        }
        assert_eq!(kind_of(Code::Aborted), ErrorKind::Unavailable);
    }
}
