use proptest::prelude::*;

use super::*;

/// Entries printed one a line, then the error if there is one.
fn read(input: &str, format: Format) -> String {
    let mut parser = Parser::new(input.as_bytes(), format);
    let mut out = Vec::new();
    loop {
        match parser.next_entry() {
            Ok(Some(Entry::Sample(s))) => {
                let labels = s.series.to_labels().map_or_else(
                    |name| format!("duplicate {name}"),
                    |labels| labels.to_string(),
                );
                out.push(format!(
                    "{labels} {} {:?}",
                    s.reading.value, s.reading.timestamp
                ));
            }
            Ok(Some(Entry::Type(f, t))) => out.push(format!("type {} {t:?}", f.unescape())),
            Ok(Some(Entry::Help(f, h))) => {
                out.push(format!("help {} {:?}", f.unescape(), h.unescape()));
            }
            Ok(Some(Entry::Unit(f, u))) => out.push(format!("unit {} {}", f.unescape(), u.raw())),
            Ok(None) => break,
            Err(e) => {
                out.push(e.to_string());
                assert_eq!(parser.next_entry(), Ok(None), "an error is the end");
                break;
            }
        }
    }
    out.join("\n")
}

#[test]
fn text_format_is_lenient_about_space_comments_and_commas() {
    let check = |input: &str, expected: &str| {
        assert_eq!(read(input, Format::Text), expected, "{input}");
    };
    check("a 1", r#"{__name__="a"} 1 None"#);
    check(
        "\n\n \ta 1\t-0\n",
        "line 3: expected a timestamp in milliseconds, found \"-0\"",
    );
    check(
        "a { b = \"c\" , } 1 5 \n",
        r#"{__name__="a", b="c"} 1 Some(5)"#,
    );
    check(
        "a{b=\"c\"d=\"e\"}1\n",
        r#"{__name__="a", b="c", d="e"} 1 None"#,
    );
    check(
        "# a comment\n#another\n#\n# HELP\n# EOF\na 1 ",
        r#"{__name__="a"} 1 None"#,
    );
    check(
        "a{b=\"x\ny\"} 1\nb x",
        "{__name__=\"a\", b=\"x\\ny\"} 1 None\nline 3: expected a value, found \"x\"",
    );
    check(
        "#\tHELP \t a  two words\\n\\\\\n# TYPE a untyped",
        "help a \" two words\\n\\\\\"\ntype a Unknown",
    );
    check(
        "# TYPE a  counter",
        "line 1: \" counter\" is not a metric type",
    );
    check(
        "# TYPE a unknown",
        "line 1: \"unknown\" is not a metric type",
    );
    check(
        "{\"a.b\",c=\"d\",\"e f\"=\"g\"} 1",
        r#"{__name__="a.b", c="d", "e f"="g"} 1 None"#,
    );
    check(
        "a 1 5 # {} 1",
        "line 1: expected the end of the line, found \"# {} 1\"",
    );
}

#[test]
fn openmetrics_is_exact_about_space() {
    let check = |input: &str, expected: &str| {
        assert_eq!(read(input, Format::OpenMetrics), expected, "{input}");
    };
    check("a 1 1.5\n# EOF\n", r#"{__name__="a"} 1 Some(1500)"#);
    check(
        "a 1",
        "line 1: expected the end of the line, found the end of the input",
    );
    check(
        "a 1\n",
        "{__name__=\"a\"} 1 None\nline 2: the input does not end with # EOF",
    );
    check("a  1\n# EOF", "line 1: expected a value, found \" 1\"");
    check(
        "a{b=\"c\", d=\"e\"} 1\n# EOF",
        "line 1: expected a label name or the closing brace, found \" d=\\\"e\\\"} 1\"",
    );
    check(
        "\n# EOF",
        "line 1: expected a metric name, found the end of the line",
    );
    check("#a\n# EOF", "line 1: expected a metric name, found \"#a\"");
    check("# EOF\n\n", "line 1: nothing may follow # EOF");
    check("{\"a b\"} 1\n# EOF", r#"{__name__="a b"} 1 None"#);
    check(
        "a{\"b\"} 1\n# EOF",
        "line 1: the series has two metric names",
    );
    check("a{b=\"1\",b=\"2\"} 1\n# EOF", "duplicate b 1 None");
    check("# UNIT a_s s\n# UNIT a \n# EOF", "unit a_s s\nunit a ");
    check(
        "# UNIT as s\n# EOF",
        "line 1: the name of \"as\" does not end with its unit, _s",
    );
    check("# TYPE \"a b\" stateset\n# EOF", "type a b StateSet");
}

#[test]
fn a_fragment_needs_no_eof_and_counts_its_lines() {
    let mut parser = Parser::fragment(b"a 1\nb\n", Format::OpenMetrics, 41);
    assert!(parser.next_entry().unwrap().is_some());
    assert_eq!(parser.next_entry().unwrap_err().line, 42);
    let mut parser = Parser::fragment(b"a 1\n", Format::OpenMetrics, 1);
    assert!(parser.next_entry().unwrap().is_some());
    assert_eq!(parser.next_entry(), Ok(None));
    assert!(!parser.met_eof());
}

#[test]
fn lines_of_known_series_are_counted() {
    let series = b"a{b=\"1\n2\n3\"}";
    let input = [&series[..], b" 1\n", series, b" 2\n", b"c\n"].concat();
    let mut parser = Parser::fragment(&input, Format::Text, 10);
    assert!(parser.next_entry().unwrap().is_some());
    assert_eq!(parser.line(), 13);
    let known = parser.take_known(series).unwrap();
    assert!(known.is_some_and(|reading| reading.value == 2.0));
    assert_eq!(parser.next_entry().unwrap_err().line, 16);
}

#[test]
fn strings_must_be_utf8() {
    for input in [
        &b"a{b=\"\xff\"} 1\n"[..],
        b"{\"\xff\"} 1\n",
        b"# HELP a \xff\n",
    ] {
        for format in [Format::Text, Format::OpenMetrics] {
            let error = Parser::new(input, format).next_entry().unwrap_err();
            assert!(error.reason.ends_with("is not UTF-8"), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn no_input_panics(input in "[a{}=,\"\\\\ #\n1eHELPTYUNOF\t\u{e9}]{0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            read(&input, format);
        }
        super::super::strict::validate(input.as_bytes()).ok();
    }

    #[test]
    fn text_that_is_not_all_utf8_is_read_alike(
        lines in proptest::collection::vec("a\\{([a-c1]{1,2}=\"[x\\\\\n\u{e9}]{0,2}\"[, ]?){0,3}\\} ?[0-9.e+-]{1,4}", 1..4),
    ) {
        // Labels of such text are not read the quick way.
        for (format, damaged) in [(Format::Text, &b"\n\xff"[..]), (Format::OpenMetrics, b"\n# \xff")] {
            let entries = |input: &[u8]| {
                let mut parser = Parser::fragment(input, format, 1);
                let mut out = Vec::new();
                while let Ok(Some(entry)) = parser.next_entry() {
                    out.push(format!("{entry:?}"));
                }
                out
            };
            let text = lines.join("\n");
            let sound = [text.as_bytes(), b"\n"].concat();
            let damaged = [text.as_bytes(), damaged].concat();
            prop_assert_eq!(entries(&sound), entries(&damaged));
        }
    }

    #[test]
    fn what_is_written_is_read(
        name in "[a-z_:][a-z0-9_:]{0,8}",
        pairs in proptest::collection::btree_map("[a-z_][a-z0-9_]{0,5}", "\\PC{0,8}", 0..4),
        value in any::<f64>(),
        t in 0i64..4_000_000_000,
    ) {
        let escape = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
        let value = if value.is_nan() { f64::from_bits(model::sample::NORMAL_NAN_BITS) } else { value };
        for (format, ms) in [(Format::Text, t), (Format::OpenMetrics, t * 1000)] {
            let text = format!("{name}{{{}}} {value} {t}\n", labels.join(","));
            let mut parser = Parser::fragment(text.as_bytes(), format, 1);
            let Some(Entry::Sample(s)) = parser.next_entry().unwrap() else { panic!("a sample") };
            prop_assert_eq!(s.reading.value.to_bits(), value.to_bits());
            prop_assert_eq!(s.reading.timestamp, Some(ms));
            let mut want: std::collections::BTreeMap<_, _> =
                pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.clone(), v.clone())).collect();
            want.insert("__name__".into(), name.clone());
            let found = s.series.to_labels().unwrap();
            let found: Vec<_> = found.iter().collect();
            let want: Vec<_> = want.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(found, want);
        }
    }
}
