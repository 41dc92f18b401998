//! Targets that say since when something counts.

use prost::Message as _;
use proto::client;

use super::*;

fn counting(lines: &str) -> Hand {
    let target = Labels::from_pairs([("__address__", "i")]);
    Hand::with(lines, &target, |settings| settings.zeros = true)
}

/// What was said of starts, twice: of lines that are new, and of lines that are known.
fn starts(hand: &Hand, scrape: impl Fn(i64) -> Vec<String>) -> Vec<String> {
    let mut found = scrape(10_000);
    found.retain(|line| line.contains(" from "));
    let mut again = scrape(20_000);
    again.retain(|line| line.contains(" from "));
    assert_eq!(found, again);
    assert_eq!(hand.last_error(), "");
    found
}

const METRICS: &str = "\
# TYPE c counter
c_total{z=\"1\"} 1
c_created{z=\"1\"} 5.5
c_total{z=\"2\"} 1
c_created{z=\"3\"} 6
c_total{z=\"4\"} 1
c_created{z=\"4\"} 0
# TYPE h histogram
h_bucket{le=\"1\"} 1
h_bucket{le=\"+Inf\"} 2
h_count 2
h_sum 3
h_created 7
# TYPE s summary
s{quantile=\"0.5\"} 1
s_count 2
s_created 8
# TYPE g gauge
g_created 9
# EOF
";

#[test]
fn samples_of_openmetrics_say_since_when_those_before_them_count() {
    let hand = counting("");
    let expected = [
        "c_total {z=\"1\"} from 5500",
        "h_bucket {le=\"+Inf\"} from 7000",
        "h_bucket {le=\"1.0\"} from 7000",
        "h_count from 7000",
        "h_sum from 7000",
        "s {quantile=\"0.5\"} from 8000",
        "s_count from 8000",
    ];
    assert_eq!(starts(&hand, |t| hand.open_metrics(METRICS, t)), expected);
    let lines = hand.open_metrics(METRICS, 30_000);
    let created: Vec<_> = lines.iter().filter(|l| l.contains("_created")).collect();
    assert_eq!(created, ["g_created 9 @30000"], "of a gauge it is a sample");

    let stored = Hand::new("").open_metrics(METRICS, 10_000);
    let created = stored.iter().filter(|l| l.contains("_created"));
    assert_eq!(
        created.count(),
        6,
        "all are samples where nobody wants zeros"
    );
}

#[test]
fn histograms_that_become_native_have_a_start_as_well() {
    let hand = counting("convert_classic_histograms_to_nhcb: true");
    let found = starts(&hand, |t| hand.open_metrics(METRICS, t));
    assert!(found.contains(&"h from 7000".to_owned()), "{found:?}");
    assert!(
        !found.iter().any(|line| line.starts_with("h_")),
        "{found:?}"
    );
}

#[test]
fn messages_say_since_when_they_count() {
    let at = |seconds| Some(client::Timestamp { seconds, nanos: 0 });
    let counter = |seconds| client::Metric {
        counter: Some(client::Counter {
            value: 1.0,
            created_timestamp: at(seconds),
            ..client::Counter::default()
        }),
        ..client::Metric::default()
    };
    let family = |name: &str, seconds| client::MetricFamily {
        name: name.to_owned(),
        r#type: client::MetricType::Counter.into(),
        metric: vec![counter(seconds)],
        ..client::MetricFamily::default()
    };
    let mut body = family("a", 5).encode_length_delimited_to_vec();
    family("b", 0).encode_length_delimited(&mut body).unwrap();
    let hand = counting("");
    let found = starts(&hand, |t| hand.body(&body, Encoding::Protobuf, t));
    assert_eq!(found, ["a from 5000"]);
}
