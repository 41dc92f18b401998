//! What can be said about the Pushgateway.

use std::path::PathBuf;
use std::time::Duration;

use model::time::DurationMs;

use super::Options;

/// Flags of the Pushgateway.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct PushgatewayFlags {
    /// File that keeps what was pushed over a restart; without one a restart forgets it, but for
    /// everything in one process, which keeps it with its data.
    #[arg(long = "pushgateway.persistence-file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Takes pushes that contradict themselves or other groups, or have timestamps.
    #[arg(long = "pushgateway.disable-consistency-check")]
    pub unchecked: bool,
    /// How often what was pushed is stored again, as a scrape of the gateway would store it; 0s for
    /// never. It is not while this process itself scrapes the gateway.
    #[arg(
        long = "pushgateway.self-scrape-interval",
        value_name = "DURATION",
        default_value = "15s"
    )]
    pub self_scrape_interval: DurationMs,
    /// Lets PUT /api/v1/admin/wipe delete all groups of the tenant that asks.
    #[arg(long = "pushgateway.enable-admin-api")]
    pub admin_api: bool,
}

impl PushgatewayFlags {
    /// How pushes are taken.
    pub fn resolve(&self) -> Options {
        let interval = Duration::from_millis(self.self_scrape_interval.0.unsigned_abs());
        Options {
            file: self.file.clone(),
            check_consistency: !self.unchecked,
            self_scrape_interval: Some(interval).filter(|interval| !interval.is_zero()),
            admin_api: self.admin_api,
        }
    }
}
