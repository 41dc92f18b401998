use model::Span;
use promql::points::Points;
use proptest::prelude::*;

use super::*;

fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    push(&mut out);
    String::from_utf8(out).unwrap()
}

fn result(value: &QueryValue) -> String {
    let mut out = Vec::new();
    write_result(&mut out, 1_500, value, (None, None)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn times_have_three_digits_of_fraction_or_none() {
    for (t, expected) in [
        (0, "0"),
        (1_000, "1"),
        (1_500, "1.500"),
        (1_007, "1.007"),
        (-70, "-0.070"),
        (i64::MIN, "-9223372036854775.808"),
    ] {
        assert_eq!(text(|out| push_time(out, t)), expected);
        assert_eq!(model::time::JsonSeconds(t).to_string(), expected);
    }
}

#[test]
fn results_by_type() {
    assert_eq!(
        result(&QueryValue::Scalar(f64::INFINITY)),
        r#"{"resultType":"scalar","result":[1.500,"+Inf"]}"#
    );
    assert_eq!(
        result(&QueryValue::String(b"a\"\xff".as_slice().into())),
        "{\"resultType\":\"string\",\"result\":[1.500,\"a\\\"\u{fffd}\"]}"
    );
    let labels = || Labels::from_pairs([("__name__", "a"), ("b", "c\n")]);
    assert_eq!(
        result(&QueryValue::Vector(vec![(
            labels(),
            StepValue::Float(1e-7)
        )])),
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"a","b":"c\n"},"value":[1.500,"1e-07"]}]}"#
    );
    assert_eq!(
        result(&QueryValue::Matrix(Vec::new())),
        r#"{"resultType":"matrix","result":[]}"#
    );
}

#[test]
fn histograms_show_their_populated_buckets() {
    let histogram = FloatHistogram {
        schema: 0,
        zero_threshold: 0.5,
        zero_count: 1.0,
        count: 6.0,
        sum: 2.5,
        positive_spans: vec![Span {
            offset: 0,
            length: 3,
        }],
        positive_buckets: vec![2.0, 0.0, 1.0],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        negative_buckets: vec![2.0],
        ..FloatHistogram::default()
    };
    let empty = FloatHistogram::default();
    let series = MatrixSeries {
        labels: Labels::empty(),
        points: Points::from_iter([
            (0, StepValue::Histogram(histogram.into())),
            (1_000, StepValue::Float(7.0)),
            (2_000, StepValue::Histogram(empty.into())),
        ]),
    };
    assert_eq!(
        result(&QueryValue::Matrix(vec![series])),
        concat!(
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"7"]],"histograms":["#,
            r#"[0,{"count":"6","sum":"2.5","buckets":["#,
            r#"[1,"-1","-0.5","2"],[3,"-0.5","0.5","1"],[0,"0.5","1","2"],[0,"2","4","1"]]}],"#,
            r#"[2,{"count":"0","sum":"0"}]]}]}"#
        )
    );
}

#[test]
fn long_results_go_out_in_parts() {
    struct Parts(Vec<usize>);
    impl Write for Parts {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let points = (0..100_000).map(|t| (t, StepValue::Float(0.1))).collect();
    let labels = Labels::empty();
    let mut out = Parts(Vec::new());
    let value = QueryValue::Matrix(vec![MatrixSeries { labels, points }]);
    write_result(&mut out, 0, &value, (None, None)).unwrap();
    assert!(out.0.len() > 10);
    assert!(out.0.iter().all(|n| *n < 2 * FULL));
}

proptest! {
    #[test]
    fn strings_read_back(s: String) {
        let written = text(|out| push_string(out, &s));
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), s);
    }
}
