use proptest::prelude::*;

use super::*;

/// A text with `<` and `>` around its time, and `[` and `]` around its value.
fn text_of(pattern: &str) -> (Vec<u8>, Numbers) {
    let mut numbers = Numbers::default();
    let mut text = Vec::new();
    let mut from = 0;
    for b in pattern.bytes() {
        match b {
            b'<' | b'[' => from = text.len(),
            b'>' => numbers.time = Some((from, text.len())),
            b']' => numbers.value = Some((from, text.len())),
            other => text.push(other),
        }
    }
    (text, numbers)
}

fn learn(named: &mut Named, pattern: &str, series: u64) -> bool {
    let (text, numbers) = text_of(pattern);
    let mut key = Vec::new();
    let is_taken = marked(&text, numbers, &mut key);
    if is_taken {
        named.learn(&key, SeriesRef(series), &format!("labels of {series}"));
    }
    is_taken
}

#[test]
fn points_that_follow_are_told_by_their_bytes() {
    let mut named = Named::default();
    assert!(learn(&mut named, "put up <12> [1.5] a=b", 1));
    assert!(learn(&mut named, "put up <12> [1.5] a=c", 2));
    assert!(learn(&mut named, r#"{"v":"[7]","t":<12>}"#, 3));
    assert!(learn(&mut named, "gauge [7]", 4));
    let texts = [
        "put up 7 -3e2 a=b",
        "put up 99 0.25 a=c",
        r#"{"v":"12.5","t":8}"#,
        "gauge 1",
    ];
    let expected = [
        (Some(7), -300.0),
        (Some(99), 0.25),
        (Some(8), 12.5),
        (None, 1.0),
    ];
    // The first time the order is not known.
    let mut met = Met::new(&named);
    assert!(met.expected(texts[0].as_bytes()).is_none());
    let keys = [
        "put up \x01 \x02 a=b",
        "put up \x01 \x02 a=c",
        "{\"v\":\"\x02\",\"t\":\x01}",
        "gauge \x02",
    ];
    for (text, key) in texts.iter().zip(keys) {
        assert!(met.find(text.as_bytes(), key.as_bytes()).is_some());
    }
    assert!(
        met.find(b"put up 1 1 a=d", b"put up \x01 \x02 a=d")
            .is_none()
    );
    let mut met = Met::new(&named);
    for (i, (text, (time, value))) in texts.iter().zip(expected).enumerate() {
        let point = met.expected(text.as_bytes()).expect(text);
        assert_eq!(
            (point.time, point.value, point.len),
            (time, value, text.len())
        );
        assert_eq!(point.series.series, SeriesRef(i as u64 + 1));
        assert_eq!(
            point.series.labels.concat(),
            format!("labels of {}", i + 1).as_bytes()
        );
    }
    for other in [
        "put up 7 1 a=",
        "put up 07 1 a=b",
        "put up 7.5 1 a=b",
        "put up 7 +1 a=b",
        "put up 7 -0 a=b",
        "put up 7 1. a=b",
        "",
    ] {
        assert!(
            Met::new(&named).expected(other.as_bytes()).is_none(),
            "{other}"
        );
    }
}

#[test]
fn what_is_not_plain_is_not_remembered() {
    let mut named = Named::default();
    let long = format!("put {} <1> [1]", "m".repeat(5000));
    for pattern in [
        "put m <1> 1 a=b",
        "put m <01> [1]",
        "put m <1.5> [1]",
        "put m <1> [+1]",
        "put \x01 <1> [1]",
        &long,
    ] {
        assert!(!learn(&mut named, pattern, 1), "{pattern}");
    }
    assert!(named.is_empty());
}

#[test]
fn what_is_forgotten_takes_its_labels_along() {
    let mut named = Named::default();
    for i in 0..3000 {
        assert!(learn(&mut named, &format!("m{i} <1> [1]"), i));
    }
    named.sweep();
    for i in (0..3000).filter(|i| i % 3 == 0) {
        let (text, key) = (format!("m{i} 1 1"), format!("m{i} \x01 \x02"));
        assert!(
            Met::new(&named)
                .find(text.as_bytes(), key.as_bytes())
                .is_some()
        );
    }
    named.sweep();
    assert_eq!((named.len(), named.labels.len()), (1000, 1001));
    for i in 0..3000 {
        let (text, key) = (format!("m{i} 1 1"), format!("m{i} \x01 \x02"));
        let found = Met::new(&named).find(text.as_bytes(), key.as_bytes());
        assert_eq!(found.is_some(), i % 3 == 0);
        if let Some(NamedPoint { series, .. }) = found {
            assert_eq!(series.series, SeriesRef(i));
            assert_eq!(series.labels.concat(), format!("labels of {i}").as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn plain_numbers_are_what_the_long_way_reads(number in "-?[0-9]{1,20}(\\.[0-9]{0,18})?([eE][+-]?[0-9]{0,3})?", more in "[ ,}+.e-]?") {
        let text = format!("{number}{more}");
        if let Some((plain, len)) = plain(text.as_bytes()) {
            let value = crate::exposition::number::parse_value(&text.as_bytes()[..len]);
            prop_assert_eq!(value.map(f64::to_bits), Some(plain.value().to_bits()));
            let json: serde_json::Value = serde_json::from_str(&text[..len]).unwrap();
            prop_assert_eq!(plain.whole(), json.as_i64().filter(|_| plain.whole().is_some()));
            prop_assert!(!text[len..].starts_with(|c: char| c.is_ascii_digit() || "+-.eE".contains(c)));
        }
    }
}
