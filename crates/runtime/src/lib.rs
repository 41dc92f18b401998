//! Process plumbing that every component shares and is given instead of reaching for it.
//!
//! Reading order: [`flags`] (groups of flags under Thanos' names, and their resolved form),
//! [`foreign`] (flags of Thanos that this build accepts and ignores), [`environment`], [`log`], [`clock`],
//! [`process`] (threads, signals, shutdown), [`readiness`], [`notifications`], [`reload`], [`tasks`]
//! (background work), [`http`] (the HTTP server), [`grpc`] (gRPC servers and clients), [`tls`], [`web_config`] (whom the HTTP server
//! lets in), [`metrics`] (the process' own figures).

pub mod about;
pub mod clock;
pub mod environment;
pub mod flag_sources;
pub mod flags;
pub mod followed;
pub mod foreign;
pub mod grpc;
pub mod heaps;
pub mod http;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod notifications;
pub mod open_files;
pub mod process;
pub mod readiness;
pub mod reload;
pub mod request_log;
pub mod shown_flags;
pub mod tasks;
pub mod tls;
pub mod web_config;
pub mod web_flags;
pub mod yaml;

pub use about::About;
pub use clock::{Clock, ManualClock, SystemClock};
pub use environment::Environment;
pub use flags::{
    BucketConfig, BucketFlags, ByteSize, LogConfig, LogFlags, ServerConfig, ServerFlags,
};
pub use foreign::{ForeignFlags, LoudFlag, RefusedFlag};
pub use memory::Memory;
pub use notifications::Notifications;
pub use readiness::Readiness;
pub use reload::Reloads;

/// Why a component could not be configured, built or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag's value cannot be used.
    #[error("--{flag}: {reason}")]
    Flag {
        /// Long name of the flag, without dashes.
        flag: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The operating system refused what the process needs.
    #[error("cannot {action}")]
    System {
        /// What was attempted, as a verb with its object.
        action: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// What the component works with cannot be had.
    #[error("cannot {action}")]
    Start {
        /// What was attempted, as a verb with its object.
        action: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The error and what it comes from, in one line, for a log.
    pub fn chain(&self) -> String {
        model::error::chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_once_what_it_comes_from() {
        let error = Error::System {
            action: "read x.yaml".to_owned(),
            source: std::io::Error::other("it is gone"),
        };
        assert_eq!(error.to_string(), "cannot read x.yaml");
        assert_eq!(error.chain(), "cannot read x.yaml: it is gone");
    }
}
