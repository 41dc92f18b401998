use proptest::prelude::*;

use super::*;

fn compile_ok(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| panic!("{pattern:?}: {e}"))
}

/// Verdicts of Go's `regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(value)`.
#[test]
fn matches_as_go_does() {
    for (pattern, accepted, refused) in [
        ("", &[""][..], &["a"][..]),
        ("foo", &["foo"], &["", "fo", "foobar", "xfoo", "FOO"]),
        ("a.c", &["abc", "a\nc", "aéc"], &["ac", "abbc"]),
        ("(?-s)a.c", &["abc"], &["a\nc"]),
        (r"\Qa.b\E+", &["a.b", "a.bbb"], &["axb", "a.ba.b"]),
        ("[a&&b]", &["a", "b", "&"], &["c", "&&"]),
        ("[+--b]", &["+", ",", "-", "b"], &["a", "."]),
        ("[[a]", &["[", "a"], &["]"]),
        ("[a~~b]", &["a", "~", "b"], &["c"]),
        ("[]a]", &["]", "a"], &["[]a]"]),
        ("[^]a]", &["b", "\n"], &["]", "a"]),
        ("[[:word:]-z]", &["_", "-", "z"], &["."]),
        (
            r"\123|\07|\x41|\x{1F600}",
            &["S", "\x07", "A", "😀"],
            &["123"],
        ),
        (r"\s", &[" ", "\t", "\x0c"], &["\x0b", "\u{a0}"]),
        ("[[:space:]]", &["\x0b"], &["\u{a0}"]),
        (r"\d\w", &["1_", "2a"], &["٣a", "1é"]),
        (r"\pL+", &["aé", "ж"], &["1", ""]),
        (r"\p{Greek}\P{^Lu}", &["αA"], &["αa", "aA"]),
        ("(?i)k", &["k", "K", "\u{212a}"], &["c"]),
        (
            "(?i)production-é",
            &["PRODUCTION-É", "produCtion-é"],
            &["production-e"],
        ),
        (
            "(?i).*kubernetes.*",
            &["x-Kubernetes", "\u{212a}ubernetes", "é KUBERNETES"],
            &["kubernete"],
        ),
        ("(?i:foo)bar", &["FoObar"], &["fooBAR"]),
        ("a(?i)b|c", &["ab", "aB", "C"], &["AB"]),
        ("a(?i)*", &["", "a", "aaa"], &["A"]),
        ("x{,2}", &["x{,2}"], &["x", "xx"]),
        ("x{2", &["x{2"], &["xx"]),
        (r"\x{D800}|a", &["a"], &[""]),
        ("^foo$", &["foo"], &["foo\n"]),
        (r"(?m)a$\n^b", &["a\nb"], &["ab"]),
        (r"\bfoo\b.*", &["foo", "foo-x"], &["foox"]),
        ("(?P<x>a)(?<x>b)", &["ab"], &["a"]),
        ("a.+b.*c", &["axbc", "a\nb-c"], &["abc", "axb"]),
        (".+é.{2,}ü", &["xéxxü", "éééxxü"], &["éxxü", "xéxü"]),
    ] {
        let regex = compile_ok(pattern);
        for (values, expected) in [(accepted, true), (refused, false)] {
            for value in values {
                assert_eq!(
                    regex.is_match(value),
                    expected,
                    "{pattern:?} on {value:?}: {regex:?}"
                );
            }
        }
    }
}

/// Errors of Prometheus' matchers, which parse the pattern by itself.
#[test]
fn refuses_as_go_does() {
    for (pattern, error) in [
        ("[a", "missing closing ]: `[a`"),
        ("a(b", "missing closing ): `a(b`"),
        ("a)b", "unexpected ): `a)b`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+?", "missing argument to repetition operator: `+?`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a*??", "invalid nested repetition operator: `*??`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{32}){32}", "invalid repeat count: `{32}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<!a)", "invalid named capture: `(?<!a)`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<n-1>a)", "invalid named capture: `(?P<n-1>`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"[\q]", r"invalid escape sequence: `\q`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[c-a]", "invalid character class range: `c-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (
            r"\p{Klingon}",
            r"invalid character class range: `\p{Klingon}`",
        ),
        (
            r"\p{IsGreek}",
            r"invalid character class range: `\p{IsGreek}`",
        ),
        (r"\p{Grek}", r"invalid character class range: `\p{Grek}`"),
        ("a)(b", "unexpected ): `a)(b`"),
        (r"a\", "trailing backslash at end of expression: ``"),
    ] {
        match Regex::new(pattern) {
            Err(e) => assert_eq!(e.to_string(), format!("error parsing regexp: {error}")),
            Ok(regex) => panic!("{pattern:?} became {regex:?}"),
        }
    }
}

/// (expression, strings that match when they are few, prefix)
#[test]
fn finds_sets_and_prefixes() {
    for (pattern, set, prefix) in [
        ("foo", Some(&["foo"][..]), "foo"),
        ("", Some(&[""]), ""),
        ("foo|bar|foo", Some(&["bar", "foo"]), ""),
        (
            "(foo|bar)-(1|2)",
            Some(&["bar-1", "bar-2", "foo-1", "foo-2"]),
            "",
        ),
        (
            "prod-(eu|us)|prod-ap",
            Some(&["prod-ap", "prod-eu", "prod-us"]),
            "prod-",
        ),
        ("a[0-2]", Some(&["a0", "a1", "a2"]), "a"),
        ("ab?", Some(&["a", "ab"]), "a"),
        ("a{2,3}", Some(&["aa", "aaa"]), "aa"),
        ("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]), ""),
        ("^foo|bar$", None, ""),
        (r"\x{D800}", Some(&[]), ""),
        ("prod-.*", None, "prod-"),
        ("prod-.+x", None, "prod-"),
        ("(prod|prov).*", None, "pro"),
        ("pro.*|prefix|pr[a-z]+", None, ""),
        ("pro.*|prefix|prx.+", None, "pr"),
        ("éa.*|ée.*", None, "é"),
        ("foo[0-9]+", None, "foo"),
        (".*", None, ""),
        ("(?i)production", None, ""),
    ] {
        let regex = compile_ok(pattern);
        let found = regex
            .set_matches()
            .map(|set| set.iter().map(|s| &**s).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), set, "{pattern:?}");
        assert_eq!(regex.prefix(), prefix, "{pattern:?}");
    }
}

#[test]
fn only_what_needs_one_becomes_an_automaton() {
    let has_automaton = |pattern: &str| {
        let shape = compile_ok(pattern).shape;
        matches!(&*shape, Shape::Automaton { .. } | Shape::IgnoreCase { .. })
    };
    for pattern in [
        "a|b|c",
        ".*",
        ".+",
        "a.*",
        ".+a",
        ".*a.*",
        "a.*b.+c",
        "(a|b).*(c|d).*(e|f)",
        "a.*|b.*|.*c|.*d.*|e",
        "(foo.*)?",
        "a.{2,}b",
        "(?i).*ab.*",
        "[a-c].*",
        "5..",
        "[45]..",
        "a.{3}(b[^c])",
        "[0-9]{3}",
        "(?i)ab.",
    ] {
        assert!(!has_automaton(pattern), "{pattern:?}");
    }
    for pattern in [
        "a[0-9]+",
        "[^/]*",
        "(?-s).*",
        "a.?b",
        "a.{2,3}b",
        "(?i).*production.*",
    ] {
        assert!(has_automaton(pattern), "{pattern:?}");
    }
}

#[test]
fn thousands_of_alternatives_stay_one_set() {
    let words: Vec<String> = (0..5000).map(|i| format!("instance-{i}:9090")).collect();
    let regex = compile_ok(&words.join("|"));
    assert_eq!(regex.set_matches().map(<[_]>::len), Some(5000));
    assert!(regex.is_match("instance-4999:9090"));
    assert!(!regex.is_match("instance-5000:9090"));

    let prefixes: Vec<String> = words.iter().map(|w| format!("{w}.*")).collect();
    let regex = compile_ok(&prefixes.join("|"));
    assert!(matches!(&*regex.shape, Shape::Glob(_)));
    assert!(regex.is_match("instance-77:9090/x"));
    assert!(!regex.is_match("instance-77:909"));
}

#[test]
fn size_and_nesting_are_bounded() {
    assert!(compile_ok(r"\d{1000}").is_match(&"7".repeat(1000)));
    assert!(compile_ok(r"(\w{10}){100}").is_match(&"a".repeat(1000)));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), "b*)*".repeat(depth));
    assert!(compile_ok(&nested(120)).is_match("abb"));
    assert!(Regex::new(&nested(100_000)).is_err());
    assert!(Regex::new(&"(".repeat(100_000)).is_err());
    assert!(Regex::new(&r"\pL".repeat(100_000)).is_err());
    let error = Regex::new(r"(\pL{30}x){33}|[^\pN]{1000}").unwrap_err();
    assert!(matches!(error, RegexError::TooLarge { .. }), "{error}");
    // Would take exponential time if matching tried one way after the other.
    let regex = compile_ok("(a*)*(a|aa)+b[0-9]*");
    assert!(!regex.is_match(&"a".repeat(10_000)));
}

#[test]
fn expands_templates_as_go_does() {
    for (pattern, template, value, expanded) in [
        ("(.*)", "$1", "foo", "foo"),
        ("(.*)", "${1}x", "foo", "foox"),
        ("(.*)", "$1x", "foo", ""),
        ("(.*)", "$1-x", "foo", "foo-x"),
        ("(a)(b)?", "[$2|$1|$0|$3]", "a", "[|a|a|]"),
        ("(?P<first>a)(?P<second>b)", "$second-${first}", "ab", "b-a"),
        ("(?P<x>a)?(?P<x>b)", "${x}", "b", "b"),
        ("a", "$$1 $ ${ ${1 $é$-", "a", "$1 $ ${ ${1 $-"),
        ("(a)", "${01}$00", "a", ""),
        ("(a)", "$99999999999999999999", "a", ""),
        ("a", "", "a", ""),
        ("([^:]+)(:.*)?", "$1", "host:9100", "host"),
    ] {
        let regex = CaptureRegex::new(pattern).unwrap();
        let captures = regex.captures(value).unwrap();
        let template = Template::new(template);
        assert_eq!(
            template.expand(&captures),
            expanded,
            "{pattern:?} {template:?}"
        );
    }
    assert_eq!(Template::new("a$$b").as_text(), Some("a$b"));
    assert_eq!(Template::new("a$b").as_text(), None);
    assert!(CaptureRegex::new("a").unwrap().captures("b").is_none());
}

/// Expressions that mean the same in both languages.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[abk]{1,3}",
        Just(".*".to_owned()),
        Just(".+".to_owned()),
        Just(".".to_owned()),
        Just("[ab]".to_owned()),
        Just("[^a]".to_owned()),
        Just("é".to_owned()),
        Just("".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 1..5).prop_map(|v| v.concat()),
            4 => prop::collection::vec(inner.clone(), 1..5).prop_map(|v| format!("({})", v.join("|"))),
            1 => inner.clone().prop_map(|p| format!("(?i:{p})")),
            1 => inner.clone().prop_map(|p| format!("(?:{p})?")),
            1 => inner.clone().prop_map(|p| format!("(?:{p})*")),
            1 => inner.prop_map(|p| format!("(?:{p}){{1,3}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every shape against the plain automaton of the `regex` crate.
    #[test]
    fn shapes_match_what_the_automaton_matches(
        pattern in pattern(),
        values in prop::collection::vec("([abkK\u{212a}é\n]|ab){0,6}", 12),
    ) {
        let regex = compile_ok(&pattern);
        let oracle = regex::Regex::new(&anchored(&pattern)).unwrap();
        for value in &values {
            let expected = oracle.is_match(value);
            prop_assert_eq!(regex.is_match(value), expected, "{:?} on {:?}: {:?}", pattern, value, regex);
            if let Some(set) = regex.set_matches() {
                prop_assert_eq!(set.iter().any(|s| **s == **value), expected);
            }
            prop_assert!(!expected || value.starts_with(regex.prefix()));
        }
    }

    #[test]
    fn captures_are_those_of_the_regex_crate(
        pattern in pattern(),
        value in "([abkKé\n]|ab){0,6}",
    ) {
        let ours = CaptureRegex::new(&pattern).unwrap();
        let oracle = regex::Regex::new(&anchored(&pattern)).unwrap();
        let ours = ours.captures(&value);
        let theirs = oracle.captures(&value);
        prop_assert_eq!(ours.is_some(), theirs.is_some());
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            for i in 0..=theirs.len() {
                prop_assert_eq!(ours.get(i), theirs.get(i).map(|m| m.as_str()), "{:?} group {}", pattern, i);
            }
        }
    }

    #[test]
    fn no_input_panics(pattern in r"[a-c()\[\]{}|*+?.^$\\:<>PQEpxi0-9,é-]{0,24}", value in "[a-c]{0,8}") {
        if let Ok(regex) = CaptureRegex::new(&pattern) {
            let _ = regex.captures(&value);
        }
        let _ = Template::new(&pattern);
    }
}

#[test]
fn rewriting_anchors_before_it_parses() {
    let regex = Regex::rewriting("foo)|(bar").unwrap();
    for (value, expected) in [
        ("foo", true),
        ("fooey", true),
        ("crowbar", true),
        ("xfoox", false),
    ] {
        assert_eq!(regex.is_match(value), expected, "{value}");
    }
    assert!(Regex::new("foo)|(bar").is_err());
}
