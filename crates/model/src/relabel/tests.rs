use serde_json::{Value, json};

use super::*;

fn compile(config: &Value) -> Result<RelabelRule, String> {
    let config: RelabelConfig =
        serde_json::from_value(config.clone()).map_err(|e| e.to_string())?;
    config.compile(NameScheme::Utf8).map_err(|e| e.to_string())
}

/// Applies rules to labels and prints what is left, `None` when they are dropped.
fn run(labels: &[(&str, &str)], rules: &Value) -> Option<String> {
    let rules: Vec<RelabelRule> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|c| compile(c).unwrap())
        .collect();
    let labels = Labels::from_pairs(labels.iter().copied());
    relabelled(&rules, &labels).map(|l| l.to_string())
}

fn check(labels: &[(&str, &str)], rules: Value, expected: Option<&str>) {
    assert_eq!(run(labels, &rules).as_deref(), expected, "{rules}");
}

#[test]
fn replace() {
    let abc = &[("a", "foo"), ("b", "bar"), ("c", "baz")][..];
    for (labels, rule, expected) in [
        (
            abc,
            json!({"source_labels": ["a"], "regex": "f(.*)", "target_label": "d",
                   "replacement": "ch${1}-ch${1}"}),
            r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#,
        ),
        (
            abc,
            json!({"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a",
                   "replacement": "b${1}${2}m"}),
            r#"{a="boobam", b="bar", c="baz"}"#,
        ),
        // Nothing matches.
        (
            abc,
            json!({"source_labels": ["a"], "regex": "x", "target_label": "a", "replacement": "y"}),
            r#"{a="foo", b="bar", c="baz"}"#,
        ),
        // The whole value has to match.
        (
            abc,
            json!({"source_labels": ["a"], "regex": "o", "target_label": "a", "replacement": "y"}),
            r#"{a="foo", b="bar", c="baz"}"#,
        ),
        // An empty result deletes.
        (
            abc,
            json!({"source_labels": ["a"], "regex": "(f).*", "target_label": "a",
                   "replacement": "$2"}),
            r#"{b="bar", c="baz"}"#,
        ),
        // Without source labels: sets and deletes.
        (
            abc,
            json!({"target_label": "d", "replacement": "x"}),
            r#"{a="foo", b="bar", c="baz", d="x"}"#,
        ),
        (
            abc,
            json!({"target_label": "a", "replacement": ""}),
            r#"{b="bar", c="baz"}"#,
        ),
    ] {
        check(labels, json!([rule]), Some(expected));
    }
}

#[test]
fn replace_with_groups_in_the_target_and_as_documented() {
    for (labels, rule, expected) in [
        // The target is made of groups.
        (
            &[("a", "some-name-value")][..],
            json!({"source_labels": ["a"], "regex": "some-([^-]+)-([^,]+)",
                   "target_label": "${1}", "replacement": "${2}"}),
            r#"{a="some-name-value", name="value"}"#,
        ),
        (
            &[("a", "some-name-value")],
            json!({"source_labels": ["a"], "regex": "some-([^-]+)-([^,]+)",
                   "target_label": "${3}", "replacement": "${2}"}),
            r#"{a="some-name-value"}"#,
        ),
        // The example of Prometheus' documentation for blackbox probes.
        (
            &[("__address__", "prometheus.io:80")],
            json!({"source_labels": ["__address__"], "target_label": "__param_target"}),
            r#"{__address__="prometheus.io:80", __param_target="prometheus.io:80"}"#,
        ),
        // The one for ports from Kubernetes annotations.
        (
            &[("__address__", "10.0.0.1:8080"), ("__meta_port", "9102")],
            json!({"source_labels": ["__address__", "__meta_port"],
                   "regex": r"([^:]+)(?::\d+)?;(\d+)", "replacement": "$1:$2",
                   "target_label": "__address__"}),
            r#"{__address__="10.0.0.1:9102", __meta_port="9102"}"#,
        ),
        (
            &[("a", "x\ny")],
            json!({"source_labels": ["a"], "regex": "x.y", "target_label": "b",
                   "replacement": 8080}),
            r#"{a="x\ny", b="8080"}"#,
        ),
    ] {
        check(labels, json!([rule]), Some(expected));
    }
}

#[test]
fn keep_and_drop() {
    let labels = &[("a", "foo"), ("b", "bar")][..];
    let all = Some(r#"{a="foo", b="bar"}"#);
    for (rule, expected) in [
        (
            json!({"source_labels": ["a"], "regex": "foo", "action": "keep"}),
            all,
        ),
        (
            json!({"source_labels": ["a"], "regex": "fo", "action": "keep"}),
            None,
        ),
        (
            json!({"source_labels": ["a"], "regex": "f|foo|b", "action": "drop"}),
            None,
        ),
        (
            json!({"source_labels": ["a"], "regex": "fo", "action": "DROP"}),
            all,
        ),
        (
            json!({"source_labels": ["x"], "regex": "", "action": "drop"}),
            None,
        ),
        (
            json!({"source_labels": ["a", "b"], "regex": "foo;bar", "action": "keep"}),
            all,
        ),
        (
            json!({"source_labels": ["a", "b"], "separator": "", "regex": "foobar", "action": "Keep"}),
            all,
        ),
        (
            json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}),
            None,
        ),
        (
            json!({"source_labels": ["a"], "target_label": "a", "action": "keepequal"}),
            all,
        ),
        (
            json!({"source_labels": ["x"], "target_label": "y", "action": "keepequal"}),
            all,
        ),
        (
            json!({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}),
            all,
        ),
        (
            json!({"source_labels": ["a"], "target_label": "a", "action": "dropequal"}),
            None,
        ),
    ] {
        check(labels, json!([rule]), expected);
    }
}

#[test]
fn hashmod_is_prometheus_own() {
    // From Go: binary.BigEndian.Uint64(md5.Sum(value)[8:]) % modulus.
    for (a, b, modulus, expected) in [
        ("foo", None, 1000, "696"),
        ("foo", None, 8, "0"),
        ("", None, 1000, "958"),
        ("a", Some("b"), 1000, "74"),
        ("a", Some("b"), 8, "2"),
    ] {
        let sources = if b.is_some() {
            json!(["a", "b"])
        } else {
            json!(["a"])
        };
        let rules = json!([
            {"source_labels": sources, "modulus": modulus, "target_label": "h", "action": "hashmod"},
            {"regex": "h", "action": "labelkeep"},
        ]);
        let labels = [("a", a), ("b", b.unwrap_or_default())];
        check(&labels, rules, Some(&format!(r#"{{h="{expected}"}}"#)));
    }
}

#[test]
fn actions_on_names() {
    let labels = &[("a", "foo"), ("b1", "bar"), ("b2", "baz")][..];
    for (rule, expected) in [
        (
            json!({"regex": "(b.*)", "replacement": "bar_${1}", "action": "labelmap"}),
            r#"{a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"}"#,
        ),
        // Of several that map to one name, the last wins.
        (
            json!({"regex": "b.*", "replacement": "a", "action": "labelmap"}),
            r#"{a="baz", b1="bar", b2="baz"}"#,
        ),
        (
            json!({"regex": "b(3)?.*", "replacement": "$1", "action": "labelmap"}),
            r#"{a="foo", b1="bar", b2="baz"}"#,
        ),
        (
            json!({"regex": "(b.*)", "action": "labeldrop"}),
            r#"{a="foo"}"#,
        ),
        (
            json!({"regex": "(b.*)", "action": "labelkeep"}),
            r#"{b1="bar", b2="baz"}"#,
        ),
    ] {
        check(labels, json!([rule]), Some(expected));
    }
}

#[test]
fn case() {
    let labels = &[("a", "fooBARé İᾳΣ ß")][..];
    for (action, expected) in [
        ("lowercase", r#"{a="foobaré iᾳσ ß"}"#),
        ("uppercase", r#"{a="FOOBARÉ İᾼΣ ß"}"#),
    ] {
        let rule = json!({"source_labels": ["a"], "target_label": "a", "action": action});
        check(labels, json!([rule]), Some(expected));
    }
}

#[test]
fn rules_apply_in_order_until_one_drops() {
    let rules = json!([
        {"source_labels": ["a"], "regex": "(.).*", "target_label": "b"},
        {"source_labels": ["b"], "regex": "f", "action": "drop"},
        {"target_label": "c", "replacement": "never"},
    ]);
    check(&[("a", "foo")], rules.clone(), None);
    check(
        &[("a", "bar")],
        rules,
        Some(r#"{a="bar", b="b", c="never"}"#),
    );
    check(&[("a", "bar")], json!([]), Some(r#"{a="bar"}"#));
}

#[test]
fn refuses_with_the_words_of_prometheus() {
    for (rule, expected) in [
        (
            json!({"action": "rename"}),
            r#"unknown relabel action "rename""#,
        ),
        (
            json!({}),
            "relabel configuration for replace action requires 'target_label' value",
        ),
        (
            json!({"action": "lowercase"}),
            "relabel configuration for lowercase action requires 'target_label' value",
        ),
        (
            json!({"action": "hashmod", "target_label": "a"}),
            "relabel configuration for hashmod requires non-zero modulus",
        ),
        (
            json!({"action": "labelmap", "replacement": ""}),
            r#""" is invalid 'replacement' for labelmap action"#,
        ),
        (
            json!({"action": "uppercase", "target_label": "a", "replacement": "x"}),
            "'replacement' can not be set for uppercase action",
        ),
        (
            json!({"action": "dropequal", "target_label": "a", "regex": "(.*)"}),
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            json!({"action": "labeldrop", "source_labels": ["a"]}),
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (
            json!({"source_labels": [""], "target_label": "a"}),
            r#""" is not a valid label name"#,
        ),
        (
            json!({"action": "keep", "regex": "("}),
            "error parsing regexp: missing closing ): `^(?s:()$`",
        ),
    ] {
        assert_eq!(compile(&rule).unwrap_err(), expected, "{rule}");
    }
    let unknown = compile(&json!({"source_label": ["a"]})).unwrap_err();
    assert!(
        unknown.starts_with("unknown field `source_label`"),
        "{unknown}"
    );
}

#[test]
fn legacy_names_may_hold_references() {
    for (target, ok) in [
        ("a", true),
        ("$1", true),
        ("${1}", true),
        ("a_${name}_b$1", true),
        ("1a", false),
        ("a.b", false),
        ("$", false),
        ("${1", false),
        ("${}", false),
        ("a-$1", false),
    ] {
        let config = RelabelConfig {
            target_label: Some(target.to_owned()),
            ..RelabelConfig::default()
        };
        assert_eq!(config.compile(NameScheme::Legacy).is_ok(), ok, "{target:?}");
        assert!(config.compile(NameScheme::Utf8).is_ok());
    }
}
