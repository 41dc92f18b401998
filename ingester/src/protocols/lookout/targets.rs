//! `/prom/targets`: what was pulled last from each target, by job, as the gateway shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use storeapi::catalog::{ActiveTarget, Health, When};

/// One target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pulled<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    endpoint: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_scraped_time: Option<&'t When>,
    successful: bool,
}

/// The targets as JSON.
pub(super) fn text(targets: &[ActiveTarget]) -> String {
    let mut jobs: BTreeMap<&str, Vec<Pulled<'_>>> = BTreeMap::new();
    for target in targets {
        let was_scraped = target.health != Health::Unknown;
        let pulled = Pulled {
            duration: was_scraped.then(|| java_duration(target.last_scrape_duration)),
            endpoint: &target.scrape_url,
            last_scraped_time: was_scraped.then_some(&target.last_scrape),
            successful: target.health == Health::Up,
        };
        jobs.entry(&target.scrape_pool).or_default().push(pulled);
    }
    serde_json::to_string(&jobs).expect("text and truth values only")
}

/// A duration as Java prints it, to the millisecond.
fn java_duration(seconds: f64) -> String {
    let ms = (seconds * 1000.0).round() as u64;
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let mut text = String::from("PT");
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if ms > 0 || minutes == 0 {
        text.push_str(&format!("{}S", ms as f64 / 1000.0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(health: Health) -> ActiveTarget {
        ActiveTarget {
            scrape_pool: "payments".to_owned(),
            scrape_url: "http://10.0.0.1:9100/metrics".to_owned(),
            last_scrape: When::at(1_795_226_430_000),
            last_scrape_duration: 0.012,
            health,
            ..ActiveTarget::default()
        }
    }

    #[test]
    fn targets_are_shown_by_job() {
        assert_eq!(
            text(&[target(Health::Up), target(Health::Unknown)]),
            concat!(
                r#"{"payments":[{"duration":"PT0.012S","endpoint":"http://10.0.0.1:9100/metrics","#,
                r#""lastScrapedTime":"2026-11-21T02:00:30Z","successful":true},"#,
                r#"{"endpoint":"http://10.0.0.1:9100/metrics","successful":false}]}"#,
            )
        );
        assert_eq!(text(&[]), "{}");
    }

    #[test]
    fn durations_are_those_of_java() {
        for (seconds, expected) in [
            (0.0, "PT0S"),
            (1.5, "PT1.5S"),
            (60.0, "PT1M"),
            (61.25, "PT1M1.25S"),
        ] {
            assert_eq!(java_duration(seconds), expected);
        }
    }
}
