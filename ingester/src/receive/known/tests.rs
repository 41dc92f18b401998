use proptest::prelude::*;

use super::*;

/// Labels as they lie on the wire.
fn wire(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let len = 4 + name.len() + value.len();
        out.push(LABEL_KEY);
        if len < 0x80 {
            out.push(len as u8);
        } else {
            out.extend([len as u8 | 0x80, (len >> 7) as u8]);
        }
        out.extend([0x0a, name.len() as u8]);
        out.extend(name.as_bytes());
        out.extend([0x12, value.len() as u8]);
        out.extend(value.as_bytes());
    }
    out
}

/// A message: labels and a value.
fn message(labels: &[u8]) -> Vec<u8> {
    [labels, &[0x12, 2, 0x10, 1]].concat()
}

#[test]
fn order_is_remembered() {
    let mut known = Known::default();
    let all = [
        wire(&[("__name__", "up"), ("job", "a"), ("pod", "one")]),
        wire(&[("__name__", "up"), ("job", "b"), ("pod", "one")]),
        wire(&[("__name__", "up"), ("job", "b")]),
    ];
    for (labels, series) in all.iter().zip(1..) {
        assert!(Met::new(&known).series(&message(labels)).is_none());
        known.learn(labels, SeriesRef(series));
    }
    for order in [[0, 1, 2], [0, 1, 2], [2, 0, 1], [1, 1, 2]] {
        let mut met = Met::new(&known);
        for i in order {
            let expected = (SeriesRef(i as u64 + 1), all[i].len());
            assert_eq!(met.series(&message(&all[i])), Some(expected));
        }
        assert_eq!(met.series(b""), None);
        assert_eq!(met.series(&all[0][..all[0].len() - 1]), None);
    }
    // The bytes of one of which another has more.
    let mut met = Met::new(&known);
    assert_eq!(
        met.series(&message(&all[2])),
        Some((SeriesRef(3), all[2].len()))
    );
    let mut met = Met::new(&known);
    assert_eq!(
        met.series(&message(&all[1])),
        Some((SeriesRef(2), all[1].len()))
    );

    known.learn(&all[1], SeriesRef(9));
    assert_eq!(known.len(), 3);
    assert_eq!(
        Met::new(&known).series(&all[1]),
        Some((SeriesRef(9), all[1].len()))
    );
}

#[test]
fn what_is_not_met_is_forgotten() {
    let mut known = Known::default();
    let start = Instant::now();
    let labels = |i: u64| wire(&[("__name__", "requests_total"), ("n", &i.to_string())]);
    let meet = |known: &Known, i| Met::new(known).series(&labels(i)).map(|(series, _)| series);
    for i in 0..5000 {
        known.learn(&labels(i), SeriesRef(i));
        known.sweep_if_due(start);
    }
    known.sweep_if_due(start + SWEEP_EVERY);
    assert_eq!(known.len(), 5000, "all are new");
    for i in (0..5000).filter(|i| i % 2 == 0) {
        assert_eq!(meet(&known, i), Some(SeriesRef(i)));
    }
    known.sweep_if_due(start + SWEEP_EVERY + SWEEP_EVERY / 2);
    assert_eq!(known.len(), 5000, "it is not time");
    known.sweep_if_due(start + 2 * SWEEP_EVERY);
    for i in 0..5000 {
        assert_eq!(meet(&known, i), (i % 2 == 0).then_some(SeriesRef(i)));
    }
    assert_eq!(known.len(), 2500);
}

#[test]
fn long_labels_are_not_remembered() {
    let mut known = Known::default();
    let long = "x".repeat(120);
    let all: Vec<_> = (0..40).map(|_| ("a", long.as_str())).collect();
    known.learn(&wire(&all), SeriesRef(1));
    assert!(known.is_empty());
    let one = wire(&all[..2]);
    known.learn(&one, SeriesRef(1));
    assert_eq!(
        Met::new(&known).series(&one),
        Some((SeriesRef(1), one.len()))
    );
}

proptest! {
    #[test]
    fn only_what_was_learned_is_known(
        learned in prop::collection::vec(prop::collection::vec(("[ab]{1,2}", "[ab]{0,40}"), 1..5), 0..40),
        asked in prop::collection::vec(prop::collection::vec(("[ab]{1,2}", "[ab]{0,2}"), 1..4), 0..40),
    ) {
        let bytes = |labels: &Vec<(String, String)>| {
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            wire(&pairs)
        };
        let mut known = Known::default();
        let mut model = std::collections::HashMap::new();
        for (labels, i) in learned.iter().zip(0..) {
            known.learn(&bytes(labels), SeriesRef(i));
            model.insert(bytes(labels), SeriesRef(i));
        }
        prop_assert_eq!(known.len(), model.len());
        for _ in 0..2 {
            let mut met = Met::new(&known);
            for labels in learned.iter().chain(&asked) {
                let labels = bytes(labels);
                let expected = model.get(&labels).map(|series| (*series, labels.len()));
                prop_assert_eq!(met.series(&message(&labels)), expected);
            }
            known.sweep(|_| ());
        }
    }
}
