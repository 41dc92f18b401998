//! Sequences of scrapes: staleness, timestamps, limits, what is remembered.

use proptest::prelude::*;
use prost::Message as _;
use proto::client;

use runtime::metrics::Exposition;

use super::super::Live;
use super::*;

#[test]
fn series_end_when_they_vanish_or_a_scrape_fails() {
    let hand = Hand::new("");
    assert_eq!(
        hand.text("a 1\nb{x=\"y\"} 2\n", 1000),
        with(
            &["a 1 @1000", "b {x=\"y\"} 2 @1000"],
            report(1, 2, 2, 2, 1000)
        )
    );
    assert_eq!(
        hand.text("a 3\n", 2000),
        with(
            &["a 3 @2000", "b {x=\"y\"} stale @2000"],
            report(1, 1, 1, 0, 2000)
        )
    );
    // What was read before the mistake is not kept.
    assert_eq!(
        hand.text("a 4\nc 1\nnonsense\n", 3000),
        with(&["a stale @3000"], report(0, 2, 2, 1, 3000))
    );
    assert!(
        hand.last_error().starts_with("line 3: "),
        "{}",
        hand.last_error()
    );
    assert_eq!(
        hand.text("a 5\n", 4000),
        with(&["a 5 @4000"], report(1, 1, 1, 0, 4000))
    );
    assert_eq!(hand.last_error(), "");
    let failed = Err(Error::Timeout("http://i/metrics".to_owned()));
    assert_eq!(
        hand.answer(failed, 5000),
        with(&["a stale @5000"], report(0, 0, 0, 0, 5000))
    );
    assert_eq!(
        hand.last_error(),
        "Get \"http://i/metrics\": context deadline exceeded"
    );
    // Stale already: not again.
    let failed = Err(Error::BodySize);
    assert_eq!(hand.answer(failed, 6000), report(0, 0, 0, 0, 6000));
    // An empty answer is a good one.
    assert_eq!(
        hand.text("a 7\n", 7000),
        with(&["a 7 @7000"], report(1, 1, 1, 0, 7000))
    );
    assert_eq!(
        hand.text("", 8000),
        with(&["a stale @8000"], report(1, 0, 0, 0, 8000))
    );
    assert_eq!(hand.text("b{x=\"y\"} 2", 9000).len(), 5);
    hand.scraped.mark_stale(10_000);
    assert_eq!(
        short(hand.recorder.lines()),
        [
            "b {x=\"y\"} stale @10000",
            "scrape_duration_seconds stale @10000",
            "scrape_samples_post_metric_relabeling stale @10000",
            "scrape_samples_scraped stale @10000",
            "scrape_series_added stale @10000",
            "up stale @10000",
        ]
    );
}

#[test]
fn known_series_are_named_by_their_numbers() {
    let hand = Hand::new("");
    let body = "# HELP a x\n# TYPE a gauge\na 1\nb{c=\"d\"} 2\n";
    hand.text(body, 1000);
    assert_eq!(hand.recorder.known(), 0);
    hand.text(body, 2000);
    assert_eq!(
        hand.recorder.known(),
        7,
        "two samples and five about the scrape"
    );
    // In another order, with other values, and one more.
    hand.text(
        "b{c=\"d\"} 7\n# TYPE a gauge\na -1\ne 1\n# HELP a y\n",
        3000,
    );
    assert_eq!(hand.recorder.known(), 7);
    assert_eq!(
        hand.scraped
            .families
            .lock()
            .get("a")
            .map(|m| m.help.clone()),
        Some("y".into())
    );
}

#[test]
fn timestamps_of_the_target_are_taken_or_not() {
    let body = "a 1 500\nb 2\n";
    let hand = Hand::new("");
    assert_eq!(
        hand.text(body, 1000),
        with(&["a 1 @500", "b 2 @1000"], report(1, 2, 2, 2, 1000))
    );
    // A series with a time of its own does not end.
    assert_eq!(
        hand.text("c 1\n", 2000),
        with(&["b stale @2000", "c 1 @2000"], report(1, 1, 1, 1, 2000))
    );

    let ignoring = Hand::new("honor_timestamps: false");
    assert_eq!(ignoring.text("a 1 500\n", 1000)[0], "a 1 @1000");
    assert_eq!(ignoring.text("b 1\n", 2000)[0], "a stale @2000");

    let tracking = Hand::new("track_timestamps_staleness: true");
    assert_eq!(tracking.text("a 1 500\n", 1000)[0], "a 1 @500");
    assert_eq!(tracking.text("b 1\n", 2000)[0], "a stale @2000");
}

#[test]
fn a_series_that_comes_twice_is_taken_once() {
    let hand = Hand::new("");
    assert_eq!(
        hand.text("a 1\na 2\n", 1000),
        with(&["a 1 @1000"], report(1, 2, 2, 1, 1000))
    );
    assert_eq!(
        hand.text("a 1\na 2\n", 2000),
        with(&["a 1 @2000"], report(1, 2, 2, 0, 2000))
    );
    // With times of their own they are samples of one series.
    assert_eq!(
        hand.text("a 1 10\na 2 20\n", 3000)[..2],
        ["a 1 @10", "a 2 @20"]
    );
    assert_eq!(
        hand.text("a{x=\"1\",x=\"2\"} 1\n", 4000).last().unwrap(),
        "up 0 @4000"
    );
    assert_eq!(
        hand.last_error(),
        "label name \"x\" is not unique: invalid sample"
    );
}

#[test]
fn samples_that_the_store_refuses_are_not_new() {
    let hand = Hand::new("");
    hand.recorder.state.lock().refused.push("a");
    assert_eq!(
        hand.text("a 1\nb 1\n", 1000),
        with(&["b 1 @1000"], report(1, 2, 2, 1, 1000))
    );
    hand.recorder.state.lock().unavailable = true;
    assert!(hand.text("b 1\n", 2000).is_empty());
    assert!(
        hand.last_error().starts_with("append samples: "),
        "{}",
        hand.last_error()
    );
}

#[test]
fn series_end_when_the_store_refuses_their_samples() {
    let hand = Hand::new("track_timestamps_staleness: true");
    hand.text("a 1 500\nb 1\n", 1000);
    hand.recorder.state.lock().refused.push("a");
    assert_eq!(
        hand.text("a 2 400\nb 2\n", 2000),
        with(&["a stale @2000", "b 2 @2000"], report(1, 2, 2, 0, 2000))
    );
    assert_eq!(
        hand.text("a 3 300\nb 3\n", 3000),
        with(&["b 3 @3000"], report(1, 2, 2, 0, 3000)),
        "it has ended already"
    );
}

#[test]
fn a_label_that_comes_twice_is_counted() {
    let hand = Hand::new("");
    assert_eq!(
        hand.text("a{b=\"1\",b=\"1\"} 1\n", 1000),
        report(0, 1, 0, 0, 1000)
    );
}

#[test]
fn help_texts_have_the_escapes_of_their_format() {
    let help = |hand: &Hand| {
        let families = hand.scraped.families.lock();
        families.get("a").expect("it has a help text").help.clone()
    };
    let hand = Hand::new("");
    hand.text("# HELP a x \\\" \\\\ \\n\na 1\n", 1000);
    assert_eq!(help(&hand), "x \\\" \\ \n");
    hand.open_metrics("# HELP a y \\\" \\\\ \\n\na 1\n# EOF\n", 2000);
    assert_eq!(help(&hand), "y \" \\ \n");
}

#[test]
fn limits_fail_the_whole_scrape() {
    let hand = Hand::new("sample_limit: 2\nextra_scrape_metrics: true");
    assert_eq!(hand.text("a 1\nb 1\n", 1000).len(), 2 + 7);
    let over = hand.text("a 1\nb 1\nc 1\nd 1\n", 2000);
    let mut expected = with(
        &["a stale @2000", "b stale @2000"],
        report(0, 4, 4, 0, 2000),
    );
    expected.push("scrape_body_size_bytes 16 @2000".to_owned());
    expected.push("scrape_sample_limit 2 @2000".to_owned());
    expected.push("scrape_timeout_seconds 10 @2000".to_owned());
    expected.sort();
    assert_eq!(over, expected);
    assert_eq!(hand.last_error(), "sample limit exceeded");
    let gone = hand.answer(Err(Error::BodySize), 3000);
    assert!(
        gone.contains(&"scrape_body_size_bytes -1 @3000".to_owned()),
        "{gone:?}"
    );

    let dropping = Hand::new(concat!(
        "sample_limit: 1\nmetric_relabel_configs:\n",
        "- {source_labels: [__name__], regex: b, action: drop}",
    ));
    let kept = with(&["a 1 @1"], report(1, 2, 1, 1, 1));
    assert_eq!(
        dropping.text("a 1\nb 1\n", 1),
        kept,
        "what is dropped does not count"
    );

    let labels = Hand::new("label_limit: 3");
    // The sample that is over the limit was met as well.
    assert_eq!(labels.text("a 1\nb{x=\"y\"} 1\n", 1), report(0, 2, 1, 1, 1));
    assert_eq!(
        labels.last_error(),
        "label_limit exceeded (metric: b, number of labels: 4, limit: 3)"
    );
}

#[test]
fn the_timeout_is_the_targets() {
    let labels = [("__address__", "i"), ("__scrape_timeout__", "3s")];
    let hand = Hand::of("extra_scrape_metrics: true", &Labels::from_pairs(labels));
    let lines = hand.text("", 1000);
    assert!(
        lines.contains(&"scrape_timeout_seconds 3 @1000".to_owned()),
        "{lines:?}"
    );
}

/// Many scrapes over the limit make the memory of lines be cleared; what is remembered after that
/// belongs together.
#[test]
fn lines_beyond_the_limit_keep_their_series() {
    let hand = Hand::new("sample_limit: 2");
    hand.text("a 1\n", 1000);
    let many: String = (0..2000).map(|i| format!("m{{x=\"{i}\"}} 1\n")).collect();
    for t in [2000, 3000, 4000] {
        hand.text(&many, t);
        assert_eq!(hand.last_error(), "sample limit exceeded");
    }
    let lines = hand.text("b 3\nm{x=\"1999\"} 7\n", 5000);
    assert_eq!(lines[..2], ["b 3 @5000", "m {x=\"1999\"} 7 @5000"]);
}

#[test]
fn bounds_are_canonical() {
    let hand = Hand::new("");
    let body = concat!(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
        "# TYPE s summary\ns{quantile=\"0\"} 1\ns{le=\"1\"} 1\n",
        "# TYPE g gauge\ng{le=\"1\"} 1\n",
    );
    let lines = hand.text(body, 1);
    for expected in [
        "h_bucket {le=\"1.0\"} 1 @1",
        "h_bucket {le=\"+Inf\"} 2 @1",
        "s {quantile=\"0.0\"} 1 @1",
        "s {le=\"1\"} 1 @1",
        "g {le=\"1\"} 1 @1",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}: {lines:?}"
        );
    }
    // Also when the line that says the type was known before.
    let more = format!("{body}# TYPE h histogram\nh_bucket{{le=\"2\"}} 2\n");
    assert!(
        hand.text(&more, 2)
            .contains(&"h_bucket {le=\"2.0\"} 2 @2".to_owned())
    );
}

#[test]
fn exemplars_without_a_time_are_taken_when_they_change() {
    let hand = Hand::new("");
    let body = |exemplar: &str| format!("# TYPE a counter\na_total 1 # {exemplar}\n# EOF\n");
    let exemplars = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains(" # "))
            .collect()
    };
    let own_time = body("{t=\"x\"} 0.5 7");
    let first = exemplars(hand.open_metrics(&own_time, 1000));
    assert_eq!(first, ["a_total # {t=\"x\"} 0.5 @7000"]);
    let timeless = body("{t=\"x\"} 0.5");
    assert_eq!(
        exemplars(hand.open_metrics(&timeless, 2000)),
        ["a_total # {t=\"x\"} 0.5 @2000"]
    );
    assert!(exemplars(hand.open_metrics(&timeless, 3000)).is_empty());
    assert_eq!(
        exemplars(hand.open_metrics(&body("{t=\"y\"} 0.5"), 4000)),
        ["a_total # {t=\"y\"} 0.5 @4000"]
    );
    assert_eq!(
        hand.open_metrics("a_total 1\n", 5000).last().unwrap(),
        "up 0 @5000"
    );
    assert_eq!(
        hand.last_error(),
        "line 2: the input does not end with # EOF"
    );
}

fn native(counts: &[i64]) -> Vec<u8> {
    native_of(3, counts)
}

fn native_of(schema: i32, counts: &[i64]) -> Vec<u8> {
    let sum: i64 = counts.iter().sum();
    let mut before = 0;
    let deltas = counts
        .iter()
        .map(|count| count - std::mem::replace(&mut before, *count));
    let histogram = client::Histogram {
        sample_count: sum.unsigned_abs(),
        schema,
        zero_threshold: 0.01,
        positive_span: vec![client::BucketSpan {
            offset: 0,
            length: counts.len() as u32,
        }],
        positive_delta: deltas.collect(),
        ..client::Histogram::default()
    };
    let family = client::MetricFamily {
        name: "h".to_owned(),
        help: "about h".to_owned(),
        r#type: client::MetricType::Histogram.into(),
        metric: vec![client::Metric {
            histogram: Some(histogram),
            ..client::Metric::default()
        }],
        unit: String::new(),
    };
    family.encode_length_delimited_to_vec()
}

#[test]
fn histograms_that_are_too_fine_are_reduced_where_that_is_wanted() {
    let fine = |lines: &str| {
        let hand = Hand::new(&format!("scrape_native_histograms: true\n{lines}"));
        let body = native_of(9, &[1, 2, 3, 4]);
        let found = hand.body(&body, Encoding::Protobuf, 1000);
        (found, hand.last_error())
    };
    let (found, error) = fine("");
    assert_eq!(found, report(0, 1, 0, 0, 1000), "counted, and not kept");
    assert!(error.contains("schema 9"), "{error}");
    let (found, error) = fine("native_histogram_min_bucket_factor: 1.5");
    assert_eq!((&*found[0], &*error), ("h histogram 10/2 @1000", ""));
}

#[test]
fn labels_of_a_target_say_which_histograms_are_taken() {
    let labels = [
        ("__address__", "i"),
        ("__scrape_native_histograms__", "true"),
    ];
    let hand = Hand::of("", &Labels::from_pairs(labels));
    let found = hand.body(&native(&[1, 2]), Encoding::Protobuf, 1000);
    assert_eq!(found[0], "h histogram 3/2 @1000");
}

#[test]
fn native_histograms_come_by_protobuf() {
    let native_job = "scrape_native_histograms: true\n";
    let scrape = |lines: &str, body: &[u8]| {
        let hand = Hand::new(lines);
        let found = hand.body(body, Encoding::Protobuf, 1000);
        let again = hand.body(body, Encoding::Protobuf, 2000);
        assert_eq!(found.len(), again.len());
        (found[0].clone(), hand)
    };
    let (found, hand) = scrape(native_job, &native(&[1, 2, 3, 4]));
    assert_eq!(found, "h histogram 10/4 @1000");
    assert_eq!(hand.text("", 3000)[0], "h stale @3000");
    assert_eq!(
        hand.scraped
            .families
            .lock()
            .get("h")
            .map(|m| (m.kind, m.help.clone())),
        Some((model::MetricType::Histogram, "about h".to_owned()))
    );
    let limited = format!("{native_job}native_histogram_bucket_limit: 2");
    assert_eq!(
        scrape(&limited, &native(&[1, 2, 3, 4])).0,
        "h histogram 10/2 @1000"
    );
    let coarse = format!("{native_job}native_histogram_min_bucket_factor: 2");
    assert_eq!(
        scrape(&coarse, &native(&[1, 2, 3, 4])).0,
        "h histogram 10/2 @1000"
    );
    let (classic, _) = scrape("", &native(&[1]));
    assert_eq!(classic, "h_bucket {le=\"+Inf\"} 1 @1000");
    let (_, broken) = scrape(native_job, &native(&[-1, 2]));
    assert!(!broken.last_error().is_empty());
}

#[test]
fn a_target_that_came_back_ends_what_it_has_no_more() {
    let hand = Hand::new("");
    hand.text("a 1\nb 1\n", 1000);
    let scraped = Arc::new(hand.afresh().scraped);
    let live = Live::new(&scraped);
    let body = Body {
        bytes: b"a 2\nc 2\n".to_vec(),
        encoding: Encoding::Text(Format::Text),
    };
    scraped.take(Ok(body), 3000, Instant::now());
    hand.recorder.lines();
    hand.scraped.mark_stale(2000);
    assert_eq!(short(hand.recorder.lines()), ["b stale @2000"]);
    drop(live);
    scraped.mark_stale(4000);
    let lines = short(hand.recorder.lines());
    assert!(lines.contains(&"a stale @4000".to_owned()), "{lines:?}");
    assert!(lines.contains(&"up stale @4000".to_owned()), "{lines:?}");
}

#[test]
fn all_samples_of_a_scrape_are_counted_whatever_limits_it_exceeds() {
    let gauge = |name: &str| {
        let family = client::MetricFamily {
            name: name.to_owned(),
            r#type: client::MetricType::Gauge.into(),
            metric: vec![client::Metric::default()],
            ..client::MetricFamily::default()
        };
        family.encode_length_delimited_to_vec()
    };
    // Two buckets of any resolution.
    let body = [gauge("a"), native(&[1, 2]), native(&[1, 2]), gauge("b")].concat();
    let job = "scrape_native_histograms: true\nnative_histogram_bucket_limit: 1\n";
    for (more, error, sample_limits) in [
        ("", "histogram bucket limit exceeded", 0),
        ("sample_limit: 2\n", "sample limit exceeded", 1),
    ] {
        let hand = Hand::new(&format!("{job}{more}"));
        let found = hand.body(&body, Encoding::Protobuf, 1000);
        assert_eq!(found, report(0, 4, 4, 1, 1000));
        assert_eq!(hand.last_error(), error);
        let mut figures = Exposition::default();
        hand.context.shared.stats.collect(&mut figures);
        let figures = figures.into_text();
        for (limit, count) in [("native_histogram_bucket", 1), ("sample", sample_limits)] {
            let line = format!("prometheus_target_scrapes_exceeded_{limit}_limit_total {count}\n");
            assert!(figures.contains(&line), "{error}: {figures}");
        }
    }
}

/// Lines of an exposition; some metadata, some broken.
fn exposition() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => ("[abc]", "[xy]{0,2}", 0..9u8).prop_map(|(n, l, v)| format!("{n}{{l=\"{l}\"}} {v}")),
        4 => ("[abc]", 0..9u8).prop_map(|(name, v)| format!("{name} {v}")),
        2 => ("[abc]", 0..9u8).prop_map(|(name, v)| format!("{name}  {v}")),
        1 => ("[abc]", 0..9u8).prop_map(|(name, v)| format!("{name} {{l=\"z\"}} {v} {v}")),
        2 => "[abc]".prop_map(|name| format!("# TYPE {name} gauge")),
        1 => ("[abc]", "[de]").prop_map(|(name, help)| format!("# HELP {name} {help}")),
        1 => Just("a{l=\"x".to_owned()),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    // Each case opens several directories.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is remembered of scrapes before, what is read of one is the same.
    #[test]
    fn memory_changes_nothing(bodies in proptest::collection::vec(exposition(), 1..6)) {
        let hand = Hand::new("");
        for (i, body) in bodies.iter().enumerate() {
            let t = 1000 * (i as i64 + 1);
            let exposed = |lines: Vec<String>| -> Vec<String> {
                let counted = |line: &String| {
                    !line.contains("stale") && !line.starts_with("scrape_series_added")
                };
                lines.into_iter().filter(counted).collect()
            };
            let fresh = hand.afresh();
            prop_assert_eq!(exposed(hand.text(body, t)), exposed(fresh.text(body, t)), "{}", body);
            prop_assert_eq!(hand.last_error(), fresh.last_error());
        }
    }
}
