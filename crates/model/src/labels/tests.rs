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
