//! Classic histograms that become native ones.

use prost::Message as _;
use proto::client;

use super::*;

const CONVERT: &str = "convert_classic_histograms_to_nhcb: true";

const TEXT: &str = "# TYPE h histogram\n\
    h_bucket{p=\"a\",le=\"0.1\"} 2\n\
    h_bucket{p=\"a\",le=\"1\"} 5\n\
    h_bucket{p=\"a\",le=\"+Inf\"} 6\n\
    h_sum{p=\"a\"} 7.5\n\
    h_count{p=\"a\"} 6\n\
    h_bucket{p=\"b\",le=\"+Inf\"} 1.5\n\
    h_sum{p=\"b\"} 1\n\
    h_count{p=\"b\"} 1.5\n\
    h_other 1\n\
    # TYPE g gauge\n\
    g_count 4\n";

#[test]
fn samples_of_one_histogram_become_one() {
    let hand = Hand::new(CONVERT);
    let expected = |t: i64, added| {
        let lines = [
            format!("h {{p=\"a\"}} histogram 6/3 @{t}"),
            format!("h {{p=\"b\"}} histogram 1.5/1 @{t}"),
            format!("h_other 1 @{t}"),
            format!("g_count 4 @{t}"),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        with(&lines, report(1, 4, 4, added, t))
    };
    assert_eq!(hand.text(TEXT, 1000), expected(1000, 4));
    // Every line is known now; and in another order.
    assert_eq!(hand.text(TEXT, 2000), expected(2000, 0));
    let mut lines: Vec<_> = TEXT.lines().collect();
    lines.swap(1, 3);
    assert_eq!(
        hand.text(&(lines.join("\n") + "\n"), 3000),
        expected(3000, 0)
    );
    // What vanishes ends, and may come again.
    let without: Vec<_> = TEXT
        .lines()
        .filter(|line| !line.contains("\"b\""))
        .collect();
    let found = hand.text(&(without.join("\n") + "\n"), 4000);
    assert!(
        found.contains(&"h {p=\"b\"} stale @4000".to_owned()),
        "{found:?}"
    );
    assert_eq!(hand.text(TEXT, 5000), expected(5000, 1));
}

#[test]
fn classic_series_stay_if_that_is_wanted() {
    let hand = Hand::new(&format!(
        "{CONVERT}\nalways_scrape_classic_histograms: true"
    ));
    let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 6\nh_sum 7\nh_count 6\n";
    let expected = |t: i64, added| {
        let lines = [
            format!("h histogram 6/1 @{t}"),
            format!("h_bucket {{le=\"+Inf\"}} 6 @{t}"),
            format!("h_sum 7 @{t}"),
            format!("h_count 6 @{t}"),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        with(&lines, report(1, 4, 4, added, t))
    };
    assert_eq!(hand.text(text, 1000), expected(1000, 4));
    assert_eq!(hand.text(text, 2000), expected(2000, 0));
}

#[test]
fn what_contradicts_itself_is_no_histogram() {
    let check = |text: &str, expected: &[&str]| {
        let hand = Hand::new(CONVERT);
        let text = format!("# TYPE h histogram\n{text}");
        let mut found = hand.text(&text, 1000);
        found.retain(|line| line.starts_with('h'));
        assert_eq!(found, expected, "{text}");
        // Its lines are remembered, and may come to say something else.
        hand.text(&text, 2000);
        let good = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n";
        assert!(
            (hand.text(good, 3000)).contains(&"h histogram 1/1 @3000".to_owned()),
            "{text}"
        );
    };
    check(
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        &[],
    );
    check("h_bucket{le=\"+Inf\"} 1\nh_count 2\n", &[]);
    check("h_bucket{le=\"+Inf\"} -1\nh_count -1\n", &[]);
    // A sum or the last bucket may be missing, or the count; or all buckets.
    check(
        "h_bucket{le=\"1\"} 2\nh_count 3\n",
        &["h histogram 3/2 @1000"],
    );
    check(
        "h_bucket{le=\"1\"} 2\nh_sum 3\n",
        &["h histogram 2/1 @1000"],
    );
    check("h_sum 3\nh_count 3\n", &["h histogram 3/1 @1000"]);
    // What is no bucket stays what it is.
    check("h_bucket{le=\"x\"} 2\n", &["h_bucket {le=\"x\"} 2 @1000"]);
    check("h_bucket 2\n", &["h_bucket 2 @1000"]);
}

#[test]
fn openmetrics_has_exemplars_and_times() {
    let hand = Hand::new(CONVERT);
    let text = "# TYPE h histogram\n\
        h_bucket{le=\"1.0\"} 2 3 # {t=\"x\"} 0.5\n\
        h_bucket{le=\"+Inf\"} 2 3 # {t=\"y\"} 7 2\n\
        h_count 2 3\n\
        h_sum 2 3\n\
        h_created 1\n\
        # EOF\n";
    let found = hand.open_metrics(text, 1000);
    for line in [
        "h histogram 2/1 @3000",
        "h # {t=\"x\"} 0.5 @3000",
        "h # {t=\"y\"} 7 @2000",
    ] {
        assert!(found.contains(&line.to_owned()), "{line} in {found:?}");
    }
}

#[test]
fn relabelling_sees_the_histogram() {
    let hand = Hand::new(&format!(
        "{CONVERT}\nmetric_relabel_configs:\n- {{source_labels: [__name__, p], regex: h;b, action: drop}}"
    ));
    let mut found = hand.text(TEXT, 1000);
    found.retain(|line| line.starts_with("h "));
    assert_eq!(found, ["h {p=\"a\"} histogram 6/3 @1000"]);
    // Those are no series that could be dropped.
    let hand = Hand::new(&format!(
        "{CONVERT}\nmetric_relabel_configs:\n- {{source_labels: [__name__], regex: h_bucket, action: drop}}"
    ));
    assert_eq!(
        hand.text(TEXT, 1000)
            .iter()
            .filter(|line| line.contains("histogram"))
            .count(),
        2
    );
}

/// A family of one histogram with classic buckets up to 0.5 and 2, and a native one if there is a schema.
fn family(name: &str, kind: client::MetricType, is_native: bool) -> Vec<u8> {
    let bucket = |upper_bound, cumulative_count| client::Bucket {
        upper_bound,
        cumulative_count,
        ..client::Bucket::default()
    };
    let mut histogram = client::Histogram {
        sample_count: 4,
        sample_sum: 5.0,
        bucket: vec![bucket(0.5, 1), bucket(2.0, 3)],
        ..client::Histogram::default()
    };
    if is_native {
        histogram.zero_threshold = 0.1;
        histogram.positive_span = vec![client::BucketSpan {
            offset: 0,
            length: 1,
        }];
        histogram.positive_delta = vec![4];
    }
    let family = client::MetricFamily {
        name: name.to_owned(),
        r#type: kind.into(),
        metric: vec![client::Metric {
            histogram: Some(histogram),
            ..client::Metric::default()
        }],
        ..client::MetricFamily::default()
    };
    family.encode_length_delimited_to_vec()
}

#[test]
fn protobuf_says_what_is_native_already() {
    let body = [
        family("c", client::MetricType::Histogram, false),
        family("g", client::MetricType::GaugeHistogram, false),
        family("n", client::MetricType::Histogram, true),
    ]
    .concat();
    let check = |lines: &str, expected: &[&str], classic: usize| {
        let hand = Hand::new(&format!("{CONVERT}\n{lines}"));
        for t in [1000, 2000] {
            let found = hand.body(&body, Encoding::Protobuf, t);
            let (native, rest): (Vec<_>, Vec<_>) = found
                .into_iter()
                .filter(|line| line.starts_with(['c', 'g', 'n']))
                .partition(|line| line.contains("histogram"));
            let expected: Vec<_> = expected.iter().map(|line| format!("{line} @{t}")).collect();
            assert_eq!((native, rest.len()), (expected, classic), "{lines}");
        }
    };
    let converted = ["c histogram 4/3", "g histogram 4/3", "n histogram 4/3"];
    let as_it_came = ["c histogram 4/3", "g histogram 4/3", "n histogram 4/1"];
    check("", &converted, 0);
    check("scrape_native_histograms: true", &as_it_came, 0);
    check("always_scrape_classic_histograms: true", &converted, 15);
    check(
        "scrape_native_histograms: true\nalways_scrape_classic_histograms: true",
        &as_it_came,
        15,
    );
}

#[test]
fn too_many_buckets_fail_the_scrape() {
    let hand = Hand::new(&format!("{CONVERT}\nnative_histogram_bucket_limit: 2"));
    hand.text(TEXT, 1000);
    assert_eq!(hand.last_error(), "histogram bucket limit exceeded");
}
