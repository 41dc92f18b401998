//! What Lookout's dialect computes, on series as its clients report them.

use model::Labels;
use promql::columns::StepValue;
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::testing::MemoryStorage;
use promql::testing::storage::LoadedSeries;
use promql::value::QueryValue;
use promql::{Engine, Error, Options};

/// One sample a minute of each series, from the start on; the last is at five minutes.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    let mut load = |labels: &[(&str, &str)], values: &[f64]| {
        let from = 6 - values.len();
        storage.append(LoadedSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            samples: (values.iter().enumerate())
                .map(|(i, v)| ((from + i) as i64 * 60_000, 0, StepValue::Float(*v)))
                .collect(),
        });
    };
    // It restarts between 30 and 2.
    let grown = [10.0, 20.0, 30.0, 2.0, 5.0, 7.0];
    load(&[("__name__", "calls.count"), ("app", "a.b")], &grown);
    load(&[("__name__", "calls.count"), ("app", "axb")], &[3.0]);
    load(&[("__name__", "pool"), ("app", "c|d")], &[1.0, 2.0]);
    for (bucket, count) in [("0-10", 2.0), ("10-20", 6.0), ("20-", 2.0)] {
        for app in ["a", "b"] {
            let labels = [
                ("__name__", "rt.buckets"),
                ("_bucket", bucket),
                ("app", app),
            ];
            load(&labels, &[count]);
        }
    }
    storage
}

fn instant(text: &str) -> Result<Vec<String>, Error> {
    let mut options = ParseOptions::default();
    options.features.lookout = true;
    let expr = parse_expr(text, options).expect(text);
    let engine = Engine::new(Options::default());
    let result = engine.instant(&storage(), (&expr, text), 300_000)?;
    let QueryValue::Vector(mut vector) = result.value else {
        panic!("{text} is no vector")
    };
    vector.sort_by(|(a, _), (b, _)| a.cmp(b));
    let shown = vector.iter().map(|(labels, value)| match value {
        StepValue::Float(v) => format!("{labels} {v}"),
        StepValue::Histogram(_) => panic!("{text} yields histograms"),
    });
    Ok(shown.collect())
}

#[test]
fn the_dialect_computes_what_lookout_promises() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(instant(text).unwrap(), expected, "{text}");
    };
    // Names with dots, sets of plain values, and what Prometheus' language has beside them.
    let both = [r#"{app="a.b"} 7"#, r#"{app="axb"} 3"#];
    check(r#"calls.count{app=~|"a.b|axb"} + 0"#, &both);
    check(r#"calls.count{app=~|"a.b|none"} + 0"#, &both[..1]);
    check(r#"calls.count{app!~|"a.b|none"} + 0"#, &both[1..]);
    check(r#"calls.count{app=~"a.b"} + 0"#, &both);
    check(r#"pool{app=~|"c|d"}"#, &[]);
    check("sum(calls.count) by (none)", &["{} 10"]);
    // From 20 to 7 with a restart at 30, without guesses about the ends, and without the name.
    check("increase2(calls.count[5m])", &[r#"{app="a.b"} 17"#]);
    check("Increase2(calls.count[2m])", &[r#"{app="a.b"} 2"#]);
    check("increase2(calls.count[1m])", &[]);
    // The sum of a window, with the name.
    check(
        r#"sum2_over_time(calls.count{app="a.b"}[3m])"#,
        &[r#"{__name__="calls.count", app="a.b"} 14"#],
    );
    check(
        r#"sum_over_time(calls.count{app="a.b"}[3m])"#,
        &[r#"{app="a.b"} 14"#],
    );
}

#[test]
fn quantiles_of_buckets_are_found_for_all_other_labels() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(instant(text).unwrap(), expected, "{text}");
    };
    // Each bucket has its own count: of ten the fifth is the third of six between 10 and 20.
    check(
        "zhistogram_quantile(0.5, rt.buckets)",
        &[
            r#"{__name__="rt.buckets", app="a"} 15"#,
            r#"{__name__="rt.buckets", app="b"} 15"#,
        ],
    );
    let sum = "sum by (_bucket) (rt.buckets)";
    for (q, expected) in [
        ("0", "{} 0"),
        ("0.1", "{} 5"),
        ("0.8", "{} 20"),
        ("0.9", "{} 20"),
        ("1", "{} 20"),
    ] {
        check(&format!("zhistogram_quantile({q}, {sum})"), &[expected]);
    }
    for q in ["-0.1", "1.1", "NaN"] {
        let error = instant(&format!("zhistogram_quantile({q}, {sum})")).unwrap_err();
        let expected = format!("zhistogram_quantile needs a quantile between 0 and 1, not {q}");
        assert_eq!(error.to_string(), expected);
    }
    // What has no bounds is no bucket.
    check("zhistogram_quantile(0.5, calls.count)", &[]);
}
