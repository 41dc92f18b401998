//! Shipping blocks while the sidecar serves.

use std::collections::BTreeMap;
use std::time::Duration;

use bucket::{Bucket, Patience, Shipper, ShipperConfig};
use model::figure::Figure;
use model::time::DurationMs;
use model::{ErrorKind, Labels};
use reqwest::Method;
use runtime::metrics::{Collect, Exposition};
use runtime::process::Shutdown;
use runtime::{Clock, Error};
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::flags::Config;
use crate::source::Source;

/// How often the directory is looked at.
const INTERVAL: Duration = Duration::from_secs(30);

/// Brings the blocks of Prometheus into the bucket.
pub(crate) struct Shipping {
    bucket: Bucket,
    shipper: Shipper,
}

impl Shipping {
    /// A shipper into the bucket that is configured, if one is.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, Error> {
        let Some(yaml) = config.bucket.text() else {
            return Ok(None);
        };
        let bucket = Bucket::open(yaml, Patience::Background).map_err(|source| Error::Start {
            action: "open the bucket".to_owned(),
            source: Box::new(source),
        })?;
        let shipper = ShipperConfig {
            dir: config.tsdb_path.clone(),
            source: "sidecar".to_owned(),
            state_file: config.shipper.meta_file_name.clone(),
            upload_compacted: config.shipper.upload_compacted,
            allow_out_of_order: config.shipper.allow_out_of_order,
            hash: config.shipper.hash,
        };
        Ok(Some(Self {
            shipper: Shipper::new(bucket.clone(), shipper),
            bucket,
        }))
    }

    /// Ships until `shutdown`, and then what is there by then, for at most `grace`. An upload that
    /// is cut off by it is gone on with.
    pub(crate) async fn run(
        &self,
        source: &Source,
        clock: &dyn Clock,
        grace: Duration,
        mut shutdown: Shutdown,
    ) {
        let looks = async {
            loop {
                self.look(source, clock).await;
                sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            () = looks => {}
            () = shutdown.requested() => {}
        }
        if timeout(grace, self.look(source, clock)).await.is_err() {
            tracing::warn!("blocks were not shipped within the grace period");
        }
    }

    async fn look(&self, source: &Source, clock: &dyn Clock) {
        let labels = as_map(&source.labels());
        if labels.is_empty() {
            tracing::warn!("Prometheus has no external labels any more; nothing is shipped");
            return;
        }
        let now_ms = clock.now_ms();
        match self.shipper.sync(&labels, now_ms).await {
            Ok(shipped) => {
                for block in &shipped.uploaded {
                    tracing::info!(%block, "shipped");
                    self.bucket.metrics().uploaded(clock.now_ms());
                }
            }
            Err(error) => tracing::warn!(error = error.chain(), "blocks cannot be shipped"),
        }
    }
}

impl Collect for Shipping {
    fn collect(&self, out: &mut Exposition) {
        let mut add = |figure: Figure<'_>| out.add(figure);
        self.shipper.visit(&[], &mut add);
        self.bucket.metrics().visit(self.bucket.name(), &mut add);
    }
}

fn as_map(labels: &Labels) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    labels.iter().map(owned).collect()
}

/// Checks that blocks can be shipped: that they can be told from those of others, and that
/// Prometheus does not merge them before they are.
pub(crate) async fn check(source: &Source, config: &Config) -> Result<(), Error> {
    let refuse = |reason: String| Error::Start {
        action: "ship blocks".to_owned(),
        source: reason.into(),
    };
    if source.labels().is_empty() {
        return Err(refuse(
            "Prometheus has no external labels, which must tell its blocks from those of others; \
             set global.external_labels in its configuration"
                .to_owned(),
        ));
    }
    if config.shipper.ignore_unequal_block_size {
        return Ok(());
    }
    let Some((min, max)) =
        block_durations(source.client())
            .await
            .map_err(|error| Error::Start {
                action: "ask Prometheus for its flags".to_owned(),
                source: Box::new(error),
            })?
    else {
        return Ok(());
    };
    if min != max {
        return Err(refuse(format!(
            "Prometheus merges blocks of {min} up to {max}, and those that it merged before they \
             were shipped would be missing; start it with --storage.tsdb.min-block-duration and \
             --storage.tsdb.max-block-duration both {min}, or start this with \
             --shipper.ignore-unequal-block-size"
        )));
    }
    Ok(())
}

/// The shortest and the longest block that Prometheus makes, if it says so and may merge blocks
/// that were not shipped.
async fn block_durations(
    client: &Client,
) -> Result<Option<(DurationMs, DurationMs)>, storeapi::StoreError> {
    let path = "/api/v1/status/flags";
    let flags = client
        .ask::<BTreeMap<String, String>>(Method::GET, path, &[])
        .await;
    let flags = match flags {
        Ok(flags) => flags.data,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let waits_for_us = flags
        .get("storage.tsdb.delay-compact-file.path")
        .is_some_and(|path| !path.is_empty());
    if waits_for_us {
        return Ok(None);
    }
    let duration = |name: &str| flags.get(name)?.parse::<DurationMs>().ok();
    let min = duration("storage.tsdb.min-block-duration");
    Ok(min.zip(duration("storage.tsdb.max-block-duration")))
}
