//! The parser cases of the OpenMetrics project.

use std::fs;

use ingester::exposition::{Entry, Format, Parser, strict};
use promontory_tests::conformance;

#[test]
fn every_case_is_judged_as_it_says() {
    let Some(dir) = conformance("openmetrics") else {
        return;
    };
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for entry in fs::read_dir(dir).unwrap() {
        let case = entry.unwrap().path();
        let input = fs::read(case.join("metrics")).unwrap();
        let meta = fs::read_to_string(case.join("test.json")).unwrap();
        let should_parse = meta.contains(r#""shouldParse": true"#);
        assert!(should_parse || meta.contains(r#""shouldParse": false"#));
        let result = strict::validate(&input);
        if result.is_ok() != should_parse {
            wrong.push((case.file_name().unwrap().to_owned(), result));
        }
        cases += 1;
    }
    assert_eq!(cases, 211);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every sample of a good case as `name{labels} value seconds`.
fn samples(case: &str) -> Option<Vec<String>> {
    let input = fs::read(conformance("openmetrics")?.join(case).join("metrics")).unwrap();
    let mut parser = Parser::new(&input, Format::OpenMetrics);
    let mut found = Vec::new();
    while let Some(entry) = parser.next_entry().unwrap() {
        if let Entry::Sample(s) = entry {
            let labels = s.series.to_labels().unwrap();
            let exemplar = s.reading.exemplar.map(|e| {
                let l: Vec<_> = e.labels.iter().map(|l| l.value.unescape()).collect();
                format!(" # {} {} {:?}", l.join(","), e.value, e.timestamp)
            });
            found.push(format!(
                "{labels} {} {:?}{}",
                s.reading.value,
                s.reading.timestamp,
                exemplar.unwrap_or_default()
            ));
        }
    }
    Some(found)
}

#[test]
fn good_cases_hold_what_they_say() {
    let check = |case: &str, expected: &[&str]| {
        if let Some(found) = samples(case) {
            assert_eq!(found, expected, "{case}");
        }
    };
    check(
        "timestamps",
        &[
            r#"{__name__="a_total", foo="1"} 1 Some(0)"#,
            r#"{__name__="a_total", foo="2"} 1 Some(0)"#,
            r#"{__name__="a_total", foo="3"} 1 Some(1100)"#,
            r#"{__name__="a_total", foo="4"} 1 Some(9223372036854775807)"#,
            r#"{__name__="a_total", foo="5"} 1 Some(1500000)"#,
            r#"{__name__="b_total"} 2 Some(1234567890000)"#,
        ],
    );
    check(
        "escaping",
        &[
            r#"{__name__="a_total", foo="b\"a\nr"} 1 None"#,
            r#"{__name__="a_total", foo="b\\a\\z"} 2 None"#,
            r#"{__name__="a_total", foo="b\"a\nr # "} 3 None"#,
            r#"{__name__="a_total", foo="b\\a\\z # "} 4 None"#,
        ],
    );
    check(
        "gaugehistogram_exemplars",
        &[
            r#"{__name__="a_bucket", le="1.0"} 0 Some(123000) # b 0.5 None"#,
            r#"{__name__="a_bucket", le="2.0"} 2 Some(123000) # c 0.5 None"#,
            r#"{__name__="a_bucket", le="+Inf"} 3 Some(123000) # d 4 Some(123000)"#,
        ],
    );
    check(
        "empty_label",
        &[
            r#"{__name__="a_total", foo="bar"} 1 None"#,
            r#"{__name__="a_total"} 2 None"#,
        ],
    );
    check(
        "labels_and_infinite",
        &[
            r#"{__name__="a", foo="bar"} inf None"#,
            r#"{__name__="a", foo="baz"} -inf None"#,
        ],
    );
}
