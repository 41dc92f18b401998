//! `check --live`: what files and flags point to, by using it as components do.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bucket::Bucket;
use bucket::lease::{ConditionalPut, probe};
use futures::TryStreamExt as _;
use model::time::Rfc3339;
use querier::endpoints::dial::{GrpcDial, client_config};
use querier::endpoints::resolve::Dns;
use querier::endpoints::{Address, Dial as _, EndpointConfig, Lookup, Resolve as _};
use runtime::grpc::GrpcClientConfig;
use runtime::process;
use runtime::tls::validity_of_server;
use runtime::{Clock as _, SystemClock};
use storeapi::wire::info::EndpointInfo;
use tokio::time::timeout;

use super::everything::Check;
use super::report::Report;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads for files and name servers.
const THREADS: usize = 8;
/// Where the bucket is written to; not a ULID, so that nobody takes it for a block.
const PROBES: &str = "promontory/probes";
/// What is written there.
const CONTENT: &[u8] = b"promontory check --live wrote this; it may be deleted\n";
/// Clocks that differ by more than this are warned of: marks and delays go by them.
const SKEW_MAX_MS: i64 = 5_000;
/// S3 refuses requests of clients whose clocks differ by more.
const SKEW_FATAL_MS: i64 = 900_000;

/// What is looked at.
pub(super) struct Subject {
    pub(super) bucket: Option<Bucket>,
    pub(super) endpoints: Vec<EndpointConfig>,
    /// How connections are made that do not say it themselves.
    pub(super) client: Option<GrpcClientConfig>,
}

/// Looks at all of it.
pub(super) fn look(subject: Subject, check: &mut Check<'_>) -> anyhow::Result<()> {
    process::run(THREADS, async |_: process::Shutdown| {
        if let Some(bucket) = &subject.bucket {
            look_at_bucket(bucket, &mut check.report).await;
        }
        if let Some(client) = &subject.client {
            look_at_endpoints(&subject.endpoints, client, check).await;
        }
        Ok(())
    })
    .context("look at what the files point to")
}

/// A step that may not take for ever, with its failure in words.
async fn step<T>(work: impl Future<Output = bucket::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|e| e.chain()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn look_at_bucket(bucket: &Bucket, report: &mut Report) {
    let name = bucket.name();
    let before_ms = SystemClock.now_ms();
    // Of no other check.
    let key = format!("{PROBES}/check-{before_ms}-{}", std::process::id());
    let written = step(bucket.put(&key, CONTENT)).await;
    let after_ms = SystemClock.now_ms();
    let wrote = |_: &()| "an object was written".to_owned();
    if (report.judge("bucket write", name, written, wrote)).is_none() {
        // Whether it is there nobody knows.
        let _ = step(bucket.delete(&key)).await;
        // What is there may be readable all the same.
        let listed = step(async { bucket.list(PROBES).try_next().await }).await;
        let found = |_: &Option<_>| "the bucket can be listed".to_owned();
        report.judge("bucket list", name, listed, found);
        return;
    }
    let read = step(bucket.get(&key, CONTENT.len() as u64)).await;
    let read = read.and_then(|bytes| match bytes == CONTENT {
        true => Ok(()),
        false => Err("what is read is not what was written".to_owned()),
    });
    let reads = |_: &()| "it is read as it was written".to_owned();
    report.judge("bucket read", name, read, reads);
    let part = step(bucket.get_range(&key, 11..16)).await;
    let part = part.and_then(|bytes| match &bytes[..] == b"check" {
        true => Ok(()),
        false => Err("a range is not the part of the object that was asked for".to_owned()),
    });
    let reads = |_: &()| "a part of it is read".to_owned();
    report.judge("bucket range", name, part, reads);

    let listed = step(async {
        let objects: Vec<_> = bucket.list(PROBES).try_collect().await?;
        Ok(objects.into_iter().find(|object| object.key == key))
    });
    match listed.await {
        Ok(Some(object)) => {
            report.ok("bucket list", name, "it is listed at once");
            clock(object.modified_ms, before_ms, after_ms, name, report);
        }
        Ok(None) => report.fail(
            "bucket list",
            name,
            "what was written is not listed: the store must be consistent",
        ),
        Err(error) => report.fail("bucket list", name, error),
    }
    let deleted = step(async {
        bucket.delete(&key).await?;
        bucket.attributes(&key).await
    });
    match deleted.await {
        Ok(None) => report.ok("bucket delete", name, "it is gone at once"),
        Ok(Some(_)) => report.fail(
            "bucket delete",
            name,
            format!("{key} is there after it was deleted"),
        ),
        Err(error) => report.fail("bucket delete", name, format!("{key} stays: {error}")),
    }
    look_at_conditions(bucket, report).await;
}

/// Whether a second compactor would wait.
async fn look_at_conditions(bucket: &Bucket, report: &mut Report) {
    let name = bucket.name();
    match step(probe(bucket)).await {
        Ok(ConditionalPut::Honoured) => {
            report.ok(
                "bucket conditions",
                name,
                "conditional writes are honoured: a second compactor waits",
            );
        }
        Ok(ConditionalPut::Ignored) => report.warn(
            "bucket conditions",
            name,
            "conditional writes overwrite all the same: run only one compactor",
        ),
        Ok(ConditionalPut::Unsupported) => report.warn(
            "bucket conditions",
            name,
            "conditional writes are refused: run only one compactor",
        ),
        Err(error) => report.fail("bucket conditions", name, error),
    }
}

/// How far the store's clock is from ours, when it said `modified_ms` for what was written between
/// `before_ms` and `after_ms`. Many stores say whole seconds.
fn skew_ms(modified_ms: i64, before_ms: i64, after_ms: i64) -> i64 {
    let last_ms = modified_ms.saturating_add(999);
    if last_ms < before_ms {
        last_ms - before_ms
    } else {
        (modified_ms - after_ms).max(0)
    }
}

fn clock(modified_ms: i64, before_ms: i64, after_ms: i64, name: &str, report: &mut Report) {
    let skew_ms = skew_ms(modified_ms, before_ms, after_ms);
    let seconds = skew_ms.unsigned_abs() as f64 / 1000.0;
    let side = if skew_ms < 0 { "behind" } else { "ahead of" };
    let detail = format!("its clock is {seconds:.1} s {side} ours");
    match skew_ms.saturating_abs() {
        SKEW_FATAL_MS.. => report.fail("bucket clock", name, detail),
        SKEW_MAX_MS.. => report.warn("bucket clock", name, detail),
        _ => report.ok("bucket clock", name, detail),
    }
}

async fn look_at_endpoints(
    endpoints: &[EndpointConfig],
    client: &GrpcClientConfig,
    check: &mut Check<'_>,
) {
    if endpoints.is_empty() {
        return;
    }
    let dial = match GrpcDial::new(client, PATIENCE, PATIENCE) {
        Ok(dial) => dial,
        Err(error) => {
            let name = "connections to endpoints";
            return check.report.fail("certificate", name, error.chain());
        }
    };
    for endpoint in endpoints {
        let found = resolve(&endpoint.address).await;
        let shown = |found: &Vec<String>| found.join(" ");
        let name = endpoint.address.to_string();
        let Some(found) = check.report.judge("names", &name, found, shown) else {
            continue;
        };
        // A plain address is connected to by its name, which its certificate is for.
        let targets = match endpoint.address.lookup {
            Lookup::Static => vec![endpoint.address.name.clone()],
            _ => found,
        };
        for target in targets {
            look_at_endpoint(&target, endpoint, (&dial, client), check).await;
        }
    }
}

async fn look_at_endpoint(
    target: &str,
    endpoint: &EndpointConfig,
    (dial, client): (&GrpcDial, &GrpcClientConfig),
    check: &mut Check<'_>,
) {
    let own = endpoint.tls.as_ref();
    let info = match dial.dial(target, own) {
        Ok(peer) => peer.ask_info().await,
        Err(error) => Err(error),
    };
    (check.report).judge("endpoint", target, info, show);
    let tls = match own {
        Some(own) => client_config(own, client.message_limit).tls,
        None => client.tls.clone(),
    };
    if let Some(tls) = tls {
        let address = target.to_owned();
        let dates = process::blocking(move || validity_of_server(&address, &tls, PATIENCE)).await;
        check.dates(target, dates.map_err(|e| e.chain()));
    }
}

/// Addresses behind a name.
async fn resolve(address: &Address) -> Result<Vec<String>, String> {
    if address.lookup != Lookup::Static {
        let found = Dns::of_system()?.resolve(address).await?;
        return match found.is_empty() {
            true => Err("there are no such records".to_owned()),
            false => Ok(found),
        };
    }
    let looking = timeout(PATIENCE, tokio::net::lookup_host(&address.name)).await;
    let found = looking.map_err(|_| "name servers do not answer".to_owned())?;
    let mut found: Vec<String> = found
        .map_err(|e| e.to_string())?
        .map(|at| at.to_string())
        .collect();
    found.dedup();
    Ok(found)
}

/// What an endpoint is and has, in one line.
fn show(info: &EndpointInfo) -> String {
    let mut shown = match info.component.is_empty() {
        true => "component of unknown kind".to_owned(),
        false => info.component.clone(),
    };
    match &info.store {
        None => shown.push_str(", serves no series"),
        Some(store) => {
            let time = |ms: i64| match ms {
                i64::MIN => "the beginning".to_owned(),
                i64::MAX => "now".to_owned(),
                ms => Rfc3339(ms).to_string(),
            };
            let (from, until) = (time(store.min_time), time(store.max_time));
            let sets = store.label_sets.len();
            let written = write!(shown, ", {sets} label sets, series from {from} to {until}");
            written.expect("a String takes all");
            if !store.supports_without_replica_labels {
                shown.push_str(", cannot sort without replica labels");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_whole_seconds() {
        for (modified_ms, expected) in [
            (10_000, 0),
            (10_500, 0),
            (9_500, 0),
            (9_000, -201),
            (12_000, 1_300),
        ] {
            let skew = skew_ms(modified_ms, 10_200, 10_700);
            assert_eq!(skew, expected, "{modified_ms}");
        }
    }
}
