use hashbrown::HashMap;
use proptest::prelude::*;

use super::*;
use crate::wal::record::Checker;

/// Few series, and values that are often near the one before, or anything at all.
fn any_rows() -> impl Strategy<Value = Vec<RefSample>> {
    let value = prop_oneof![
        4 => (0..1000i32).prop_map(f64::from),
        2 => (0..1000i32).prop_map(|n| f64::from(n) / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
    ];
    let row = (
        prop_oneof![4 => 0..20u64, 1 => any::<u64>()],
        any::<i64>(),
        value,
    );
    let row = row.prop_map(|(series, t, value)| RefValue { series, t, value });
    prop::collection::vec(row, 0..50)
}

/// What a writer knows: the value before of each series.
fn before(rows: &[RefSample], last: &mut HashMap<u64, f64>) -> Vec<Option<f64>> {
    rows.iter()
        .map(|row| last.insert(row.series, row.value))
        .collect()
}

fn bits(rows: &[RefSample]) -> Vec<(u64, i64, u64)> {
    rows.iter()
        .map(|row| (row.series, row.t, row.value.to_bits()))
        .collect()
}

fn encoded(rows: &[RefSample], before: &[Option<f64>]) -> Vec<u8> {
    let mut record = Vec::new();
    encode_changes(rows, before, &mut record);
    Checker::default().check(&record).unwrap();
    record
}

proptest! {
    #[test]
    fn what_is_written_is_read(segment in prop::collection::vec(any_rows(), 1..5)) {
        let (mut last, mut changes) = (HashMap::new(), Changes::default());
        for rows in &segment {
            let mut found = Vec::new();
            let record = encoded(rows, &before(rows, &mut last));
            prop_assert_eq!(changes.decode(&record, &mut found).unwrap(), 0);
            prop_assert_eq!(bits(&found), bits(rows));
            let whole = encoded(rows, &[]);
            found.clear();
            prop_assert_eq!(Changes::default().decode(&whole, &mut found).unwrap(), 0);
            prop_assert_eq!(bits(&found), bits(rows));
        }
    }

    #[test]
    fn damage_is_an_error_or_other_rows(
        rows in any_rows(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut record = encoded(&rows, &before(&rows, &mut HashMap::new()));
        let at = at.index(record.len());
        record[at] = byte;
        record.truncate(cut.index(record.len()) + 1);
        let mut found = Vec::new();
        let decoded = Changes::default().decode(&record, &mut found);
        prop_assert_eq!(decoded.is_err(), check_changes(&record).is_err());
        if decoded.is_err() {
            prop_assert!(found.is_empty());
        }
    }
}

fn sample(series: u64, value: f64) -> RefSample {
    RefValue {
        series,
        t: 5,
        value,
    }
}

#[test]
fn rows_that_follow_one_another_take_little_but_their_changes() {
    let samples = [
        sample(1, 1.0),
        sample(2, 17.0),
        sample(3, 0.0),
        sample(4, 0.5),
    ];
    let record = encoded(&samples, &[Some(1.0), Some(16.0), None, Some(0.75)]);
    let expected = [
        80,
        2,
        4, // four rows
        2,
        2,
        2, // series: 1, 1, and two more
        10,
        0,
        0,
        1, // times: 5, then 0, 0, and one more
        0b1110,
        0b01_000_000,
        0b11_000_000,
        0b01_001_000, // one more, whole, in hundredths
        2,
        0,
        49,
    ];
    assert_eq!(record, expected);
    let mut changes = Changes::default();
    let mut found = Vec::new();
    assert_eq!(changes.decode(&record, &mut found).unwrap(), 3);
    assert_eq!(bits(&found), bits(&samples[2..3]));
}

#[test]
fn the_first_version_is_read() {
    let samples = [
        sample(1, 1.0),
        sample(1, 1.0),
        sample(1, 17.0),
        sample(2, 0.0),
    ];
    // 17 is 0x4031.., 1 is 0x3ff0..; the row of 2 is whole, of no bytes.
    let record = [
        80, 1, 4, 10, 2, 0, 0, 2, 0, 0, 0, 0, 0xe2, 0x00, 0x62, 0x80, 0xf0, 0x3f, 0xc1, 0x7f,
    ];
    Checker::default().check(&record).unwrap();
    let mut found = Vec::new();
    assert_eq!(Changes::default().decode(&record, &mut found).unwrap(), 0);
    assert_eq!(bits(&found), bits(&samples));
    for cut in 0..record.len() {
        assert!(check_changes(&record[..cut]).is_err());
    }
}

#[test]
fn more_rows_than_a_record_has_are_refused_before_memory_is_taken() {
    let mut record = vec![80, 2];
    put_uvarint(&mut record, CHANGES_MAX as u64 + 1);
    // One series and one time, CHANGES_MAX - 1 more of each, and no value that is changed.
    for _ in 0..2 {
        record.extend_from_slice(&[0, 0]);
        put_uvarint(&mut record, CHANGES_MAX as u64 - 1);
    }
    record.resize(record.len() + CHANGES_MAX / 8 + 1, 0);
    let error = check_changes(&record).unwrap_err();
    assert!(error.expected.contains("at most as many rows"), "{error}");
}

#[test]
fn a_segment_knows_nothing_of_the_one_before() {
    let mut changes = Changes::default();
    let mut found = Vec::new();
    changes
        .decode(&encoded(&[sample(1, 1.0)], &[]), &mut found)
        .unwrap();
    let second = encoded(&[sample(1, 2.0)], &[Some(1.0)]);
    assert_eq!(changes.decode(&second, &mut found).unwrap(), 0);
    changes.begin_segment();
    assert_eq!(changes.decode(&second, &mut found).unwrap(), 1);
    assert_eq!(bits(&found), bits(&[sample(1, 1.0), sample(1, 2.0)]));
}
