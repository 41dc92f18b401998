use super::*;

fn values(items: &str) -> Vec<SequenceValue> {
    let (_, values) = parse_series(&format!("m {items}")).unwrap();
    values
}

fn floats(items: &str) -> Vec<f64> {
    let float = |value| match value {
        SequenceValue::Float(v) => v,
        SequenceValue::Omitted => -1.0,
        SequenceValue::Histogram { histogram, .. } => histogram.sum,
    };
    values(items).into_iter().map(float).collect()
}

#[test]
fn reads_names_and_labels() {
    for (input, expected) in [
        ("m 1", r#"{__name__="m"}"#),
        ("m{} 1", r#"{__name__="m"}"#),
        (
            "m{a=\"b\", \"c.d\"='e',}\t1",
            r#"{__name__="m", a="b", "c.d"="e"}"#,
        ),
        (r#"{"a name", b="}"}  1"#, r#"{__name__="a name", b="}"}"#),
        ("sum{by=\"x\"} 1", r#"{__name__="sum", by="x"}"#),
        ("a:b 1", r#"{__name__="a:b"}"#),
        ("{} 1", "{}"),
    ] {
        let (labels, values) = parse_series(input).unwrap();
        assert_eq!(labels.to_string(), expected, "{input}");
        assert_eq!(values, [SequenceValue::Float(1.0)], "{input}");
    }
}

#[test]
fn expands_sequences() {
    for (items, expected) in [
        ("", &[][..]),
        (
            "1 2.5 -3 +4 1e3 0x2",
            &[1.0, 2.5, -3.0, 4.0, 1000.0, 0.0, 0.0, 0.0],
        ),
        ("1x2", &[1.0, 1.0, 1.0]),
        ("1+2x3", &[1.0, 3.0, 5.0, 7.0]),
        ("-1-2x2 ", &[-1.0, -3.0, -5.0]),
        ("1+-2x1", &[1.0, -1.0]),
        ("_ _x3 7", &[-1.0, -1.0, -1.0, -1.0, 7.0]),
        ("Inf -inf", &[f64::INFINITY, f64::NEG_INFINITY]),
        ("{{sum:1}}+{{sum:2}}x2", &[1.0, 3.0, 5.0]),
        ("{{sum:1}}-{{sum:2}}x1 {{}}x1", &[1.0, -1.0, 0.0, 0.0]),
    ] {
        assert_eq!(floats(items), expected, "{items}");
    }
    let [SequenceValue::Float(stale)] = values("stale")[..] else {
        panic!("one float");
    };
    assert!(model::sample::is_stale(stale));
}

#[test]
fn reads_histograms() {
    let items = "{{schema:1 count:4 sum:-0.3 z_bucket:1 z_bucket_w:0.1 offset:-3 buckets:[1 0 Inf] \
                 n_buckets:[4 5 ] n_offset:2 counter_reset_hint:gauge}}";
    let [
        SequenceValue::Histogram {
            histogram,
            has_hint,
        },
    ] = &values(items)[..]
    else {
        panic!("one histogram");
    };
    let expected = FloatHistogram {
        counter_reset_hint: model::CounterResetHint::Gauge,
        schema: 1,
        zero_threshold: 0.1,
        zero_count: 1.0,
        count: 4.0,
        sum: -0.3,
        positive_spans: vec![model::Span {
            offset: -3,
            length: 3,
        }],
        negative_spans: vec![model::Span {
            offset: 2,
            length: 2,
        }],
        positive_buckets: vec![1.0, 0.0, f64::INFINITY],
        negative_buckets: vec![4.0, 5.0],
        custom_values: vec![],
    };
    assert_eq!((&**histogram, *has_hint), (&expected, true));
}

#[test]
fn names_what_is_wrong() {
    for (input, expected) in [
        (
            "m 1,2",
            "1:4: parse error: unexpected character ',' in series values, expected a space",
        ),
        (
            "m 1+2",
            "1:6: parse error: unexpected end of input in series values, expected \"x\" and how often",
        ),
        (
            "m 1x",
            "1:5: parse error: unexpected end of input in series values, expected how often to repeat the value",
        ),
        (
            "m foo",
            "1:3: parse error: unexpected character 'f' in series values, expected number or \"stale\"",
        ),
        (
            "m{a} 1",
            "1:4: parse error: unexpected \"}\" in label set, expected \"=\"",
        ),
        (
            "m{a=1} 1",
            "1:5: parse error: unexpected character inside braces: '1'",
        ),
        (
            "m {{sum:1 sum:2}}",
            "1:11: parse error: duplicate key \"sum\" in histogram",
        ),
        (
            "m {{foo:1}}",
            "1:5: parse error: bad histogram descriptor found: \"foo\"",
        ),
        (
            "m {{schema:1}}+{{schema:0}}x2",
            "1:3: parse error: error combining histograms: cannot merge from schema 0 to 1",
        ),
        (
            "m 1x99999999999",
            "1:5: parse error: the series has too many values: more than 1048576, the limit",
        ),
    ] {
        assert_eq!(
            parse_series(input).unwrap_err().to_string(),
            expected,
            "{input}"
        );
    }
}

#[test]
fn reads_start_timestamps() {
    let line = "m{a=\"b c\"}@st  _ _x2 -30s-1mx2 +1m 0 -59999msx1 1ms";
    let (labels, offsets) = parse_start_timestamps(line).unwrap().unwrap();
    assert_eq!(labels.to_string(), r#"{__name__="m", a="b c"}"#);
    let expected = [-30_000, -90_000, -150_000, 60_000, 0, -59_999, -59_999, 1].map(Some);
    assert_eq!(offsets[..3], [None; 3]);
    assert_eq!(offsets[3..], expected);
    for line in ["m 1 2", "m@st", "m @ st"] {
        assert_eq!(parse_start_timestamps(line).unwrap(), None, "{line}");
    }
    assert!(parse_start_timestamps("m@st 5q").is_err());
}
