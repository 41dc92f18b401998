use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn sorts_and_drops_empty_values_and_keeps_the_last_of_a_name() {
    let l = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
    assert_eq!(l.to_string(), r#"{a="1", b="3"}"#);
    assert_eq!((l.get("b"), l.get("c"), l.len()), (Some("3"), None, 2));
}

#[test]
fn long_strings_survive() {
    for len in [254, 255, 256, 70_000] {
        let value = "v".repeat(len);
        let l = Labels::from_pairs([("a", value.as_str()), ("z", "end")]);
        assert_eq!(
            (l.get("a"), l.get("z")),
            (Some(value.as_str()), Some("end"))
        );
    }
}

#[test]
fn orders_label_by_label() {
    let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let sorted = [
        of(&[]),
        of(&[("a", "1")]),
        of(&[("a", "1"), ("b", "1")]),
        of(&[("a", "10")]),
        of(&[("a", "2")]),
        of(&[("b", "1")]),
    ];
    assert!(sorted.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn stable_hash_is_xxhash64_over_separated_pairs() {
    let l = Labels::from_pairs([("a", "1"), ("b", "2")]);
    assert_eq!(
        l.stable_hash(),
        XxHash64::oneshot(0, b"a\xff1\xffb\xff2\xff")
    );
}

#[test]
fn quotes_names_that_need_it_and_escapes_values() {
    let l = Labels::from_pairs([("http.code", "a\"b\\c\nd"), ("ok_1", "é\u{1}")]);
    assert_eq!(l.to_string(), r#"{"http.code"="a\"b\\c\nd", ok_1="é\x01"}"#);
}

#[test]
fn escapes_what_go_does_not_print() {
    // From Go's strconv.Quote.
    for (value, quoted_value) in [
        ("\u{a0}", r#""\u00a0""#),
        ("\u{ad}", r#""\u00ad""#),
        ("\u{200b}", r#""\u200b""#),
        ("\u{2028}", r#""\u2028""#),
        ("\u{3000}", r#""\u3000""#),
        ("\u{feff}", r#""\ufeff""#),
        ("\u{e000}", r#""\ue000""#),
        ("\u{fffd}", "\"\u{fffd}\""),
        ("\u{e0001}", r#""\U000e0001""#),
        ("\u{10ffff}", r#""\U0010ffff""#),
        ("\u{85}", r#""\u0085""#),
        ("\u{7f}\u{0}", r#""\x7f\x00""#),
        ("日本語😀e\u{301}", "\"日本語😀e\u{301}\""),
    ] {
        assert_eq!(quoted(value), quoted_value);
    }
}

#[test]
fn checks_names() {
    for (name, label_ok, metric_ok) in [
        ("", false, false),
        ("a", true, true),
        ("_a1", true, true),
        ("1a", false, false),
        ("a:b", false, true),
        (":", false, true),
        ("a.b", false, false),
        ("é", false, false),
    ] {
        assert_eq!(is_legacy_label_name(name), label_ok, "{name:?}");
        assert_eq!(is_legacy_metric_name(name), metric_ok, "{name:?}");
        let utf8 = NameScheme::Utf8;
        assert_eq!(utf8.is_valid_label_name(name), !name.is_empty());
    }
}

#[test]
fn a_builder_keeps_the_last_value() {
    let base = Labels::from_pairs([("a", "1"), ("c", "3"), ("e", "5")]);
    let mut b = LabelsBuilder::from_labels(&base);
    b.set("b", "2")
        .set("c", "")
        .set("e", "6")
        .set("b", "7")
        .delete("x");
    assert_eq!(b.labels().to_string(), r#"{a="1", b="7", e="6"}"#);
    assert_eq!(
        (b.get("c"), b.get("e"), b.get("a")),
        (None, Some("6"), Some("1"))
    );
    b.retain(|name, _| name != "a").set("c", "8");
    assert_eq!(b.labels().to_string(), r#"{b="7", c="8", e="6"}"#);
    assert_eq!(b.reset(&base).labels(), base);
}

#[test]
fn matches_all_of_several_matchers() {
    let l = Labels::from_pairs([("job", "api"), ("zone", "a")]);
    let job = Matcher::equal("job", "api");
    let no_env = Matcher::equal("env", "");
    let zone = Matcher::not_equal("zone", "a");
    assert!(l.match_all(&[job.clone(), no_env]));
    assert!(!l.match_all(&[job, zone]));
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-dé]{1,2}", "[a-cé]{0,2}|v{126}|é{70}"), 0..8)
}

proptest! {
    #[test]
    fn holds_the_same_labels_as_a_map(pairs in pairs(), names in prop::collection::btree_set("[a-dé]{1,2}", 0..4)) {
        let mut map: BTreeMap<String, String> = pairs.iter().cloned().collect();
        map.retain(|_, value| !value.is_empty());
        let l = Labels::from_pairs(pairs);
        let of_map = |map: &BTreeMap<String, String>| Labels::from_sorted(map.iter().map(|(n, v)| (&**n, &**v)));
        prop_assert_eq!(&l, &of_map(&map));
        prop_assert!(l.iter().eq(map.iter().map(|(n, v)| (&**n, &**v))));
        prop_assert_eq!(l.len(), map.len());
        for name in map.keys().chain(&names) {
            prop_assert_eq!(l.get(name), map.get(name).map(String::as_str));
        }
        let sorted: Vec<&String> = names.iter().collect();
        let hash = |write: &dyn Fn(&mut XxHash64)| {
            let mut hasher = XxHash64::with_seed(0);
            write(&mut hasher);
            hasher.finish()
        };
        for (part, hashed, wanted) in [
            (l.keep(&sorted), hash(&|h| l.hash_for_names(&sorted, h)), true),
            (l.without(&sorted), hash(&|h| l.hash_without_names(&sorted, h)), false),
        ] {
            let mut expected = map.clone();
            expected.retain(|name, _| names.contains(name) == wanted);
            prop_assert_eq!(&part, &of_map(&expected));
            prop_assert_eq!(hashed, hash(&|h| part.hash_without_names::<_>(&[""; 0], h)));
            prop_assert_eq!(l.eq_for_names(&part, &sorted), wanted || expected.len() == map.len());
            prop_assert_eq!(l.eq_without_names(&part, &sorted), !wanted || expected.len() == map.len());
        }
    }

    #[test]
    fn orders_as_lists_of_pairs_do(a in pairs(), b in pairs()) {
        let (a, b) = (Labels::from_pairs(a), Labels::from_pairs(b));
        let lists = a.iter().collect::<Vec<_>>().cmp(&b.iter().collect::<Vec<_>>());
        prop_assert_eq!(a.cmp(&b), lists);
        prop_assert_eq!(a == b, lists.is_eq());
    }
}
