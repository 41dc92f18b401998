//! Groups that are stored again and again, as a scrape of the gateway would store them, and series that
//! are marked as ended when their group no longer has them.
//!
//! Nothing goes over the network. A job of this process' own configuration that scrapes the gateway
//! does the same, so nothing is repeated while there is one.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use model::sample::STALE_NAN;
use reqwest::Url;
use runtime::process::{Shutdown, blocking};
use tokio::time::MissedTickBehavior;

use super::gateway::Gateway;
use super::groups::Group;

use super::metrics::Metric;
use super::path::GroupKey;
use crate::protocols::points::Points;
use crate::protocols::registry::LateManager;
use crate::receive::LabelLimits;
use crate::scrape::Manager;

/// Points that are stored together.
pub(super) const POINTS_TOGETHER: usize = 10_000;

/// Stores the groups of `gateway`, which listens on `address`, every `interval` until told to stop. It
/// begins once the data is open, which `scraping` tells: nothing is repeated into the buffer of pushes.
pub async fn run(
    gateway: Arc<Gateway>,
    interval: Duration,
    (address, scraping): (SocketAddr, LateManager),
    mut shutdown: Shutdown,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        let is_due = scraping
            .get()
            .is_some_and(|manager| !is_scraped(manager, address));
        if is_due {
            let gateway = Arc::clone(&gateway);
            blocking(move || gateway.repeat()).await;
        }
    }
}

/// True when a job of this process scrapes the gateway that listens on `address`.
fn is_scraped(manager: &Manager, address: SocketAddr) -> bool {
    manager.scrapes(|url| is_metrics_of(url, address))
}

/// True when `url` is that of the metrics of a gateway on `address`. A name is taken for this machine
/// only where it says so, or where the gateway listens on all addresses and nobody can tell.
fn is_metrics_of(url: &Url, address: SocketAddr) -> bool {
    let ip = url
        .host_str()
        .map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let is_here = match ip {
        Some(Ok(ip)) => ip == address.ip() || (address.ip().is_unspecified() && ip.is_loopback()),
        Some(Err(_)) => address.ip().is_unspecified() || url.host_str() == Some("localhost"),
        None => false,
    };
    is_here && url.port_or_known_default() == Some(address.port()) && url.path() == "/metrics"
}

/// Adds the series of a metric at `t_ms`; those that the limits no longer allow are left out.
pub(super) fn add(points: &mut Points, metric: &Metric, t_ms: i64, limits: &LabelLimits) {
    metric.each_series(|labels, value| {
        // What it was pushed as was within the limits of then.
        let _ = points.add(labels, t_ms, value, limits);
    });
}

/// Stale markers at `t_ms` for the series of `before` that `after` does not have.
pub(super) fn ended(
    key: &GroupKey,
    (before, after): (Option<&Group>, Option<&Group>),
    t_ms: i64,
    limits: &LabelLimits,
) -> Points {
    let mut points = Points::new();
    let Some(before) = before else {
        return points;
    };
    let mut kept: HashSet<Labels> = HashSet::new();
    if let Some(after) = after {
        after.each_metric(key, |metric| {
            metric.each_series(|labels, _| {
                kept.insert(Labels::from_pairs(labels.iter().copied()));
            });
        });
    }
    before.each_metric(key, |metric| {
        metric.each_series(|labels, _| {
            if !kept.contains(&Labels::from_pairs(labels.iter().copied())) {
                // As above.
                let _ = points.add(labels, t_ms, STALE_NAN, limits);
            }
        });
    });
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_told_by_its_address() {
        let check = |url: &str, address: &str, expected: bool| {
            let (url, address) = (Url::parse(url).unwrap(), address.parse().unwrap());
            assert_eq!(is_metrics_of(&url, address), expected, "{url} {address}");
        };
        check("http://127.0.0.1:9091/metrics", "127.0.0.1:9091", true);
        check("http://localhost:9091/metrics", "127.0.0.1:9091", true);
        check("http://localhost:9091/metrics", "0.0.0.0:9091", true);
        check("http://[::1]:9091/metrics?a=b", "[::]:9091", true);
        check("http://gateway:9091/metrics", "0.0.0.0:9091", true);
        check("http://gateway/metrics", "0.0.0.0:80", true);
        check("http://gateway:9091/metrics", "127.0.0.1:9091", false);
        check("http://10.0.0.1:9091/metrics", "10.0.0.2:9091", false);
        check("http://127.0.0.1:9090/metrics", "127.0.0.1:9091", false);
        check("http://127.0.0.1:9091/other", "127.0.0.1:9091", false);
    }
}
