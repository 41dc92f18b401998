use super::*;

/// Blocks from text: `0-2` in hours, with `!` for not to be compacted, `f` for failed, `t` for many
/// tombstones. Names count from 1.
fn blocks(text: &str) -> Vec<Candidate> {
    let parse = |(i, word): (usize, &str)| {
        let (min, rest) = word.split_once('-').unwrap();
        let max = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
        let hours = |s: &str| s.parse::<i64>().unwrap() * HOUR_MS;
        Candidate {
            id: Ulid::from_parts(0, i as u128 + 1),
            range: TimeRange::new(hours(min), hours(max)),
            failed: rest.contains('f'),
            tombstones: if rest.contains('t') { 0.06 } else { 0.0 },
            index_bytes: 10,
            no_compact: rest.contains('!'),
        }
    };
    text.split_whitespace().enumerate().map(parse).collect()
}

const PLANNER: Planner<'static> = Planner {
    ranges_ms: &RANGES_MS,
    index_bytes_max: 1000,
    downsampled: false,
};

fn merged(text: &str) -> Vec<u128> {
    match PLANNER.next(&blocks(text)) {
        Step::Nothing => Vec::new(),
        Step::Merge(ids) => ids.iter().map(|id| id.random()).collect(),
        Step::Mark(..) => panic!("nothing to mark"),
    }
}

#[test]
fn windows_are_merged_as_by_thanos() {
    for (text, expected) in [
        ("", vec![]),
        ("0-2", vec![]),
        // The newest is left alone, and the window is not full without it.
        ("0-2 2-4 4-6 6-8", vec![]),
        ("0-2 2-4 4-6 6-8 8-10", vec![1, 2, 3, 4]),
        // With a gap, full all the same.
        ("0-2 6-8 8-10", vec![1, 2]),
        // Not full, but before the newest block that counts.
        ("0-2 2-4 8-10 10-12", vec![1, 2]),
        ("2-4 4-6 8-10", vec![]),
        // A window of 8 h holds blocks that begin in it and end in it.
        ("6-10 10-12 16-18 18-20", vec![]),
        // Small windows before large ones.
        ("0-8 8-16 16-18 18-20 20-22 22-24 24-26", vec![3, 4, 5, 6]),
        (
            "0-8 8-16 16-24 24-32 32-40 40-48 48-50",
            vec![1, 2, 3, 4, 5, 6],
        ),
        ("0-8 8-16 48-50 50-52", vec![1, 2]),
        // Two weeks of two days each.
        (
            "0-48 48-96 96-144 144-192 192-240 240-288 288-336 336-338",
            vec![1, 2, 3, 4, 5, 6, 7],
        ),
        // Half hours of a receiver that cuts more often grow to 2 h first.
        ("0-1 1-2 2-4", vec![1, 2]),
        // A block that failed keeps its window as it is.
        (
            "0-2 2-4f 4-6 6-8 8-10 10-12 12-14 14-16 16-18",
            vec![5, 6, 7, 8],
        ),
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
}

#[test]
fn overlaps_go_first() {
    for (text, expected) in [
        ("0-2 0-2", vec![1, 2]),
        ("0-2 2-4", vec![]),
        ("0-2 1-3 2-4 4-6", vec![1, 2, 3]),
        // The newest is no exception.
        ("0-2 2-4 4-6 6-8 8-10 9-11", vec![5, 6]),
        ("0-8 1-2 3-4 8-10 9-11", vec![1, 2, 3]),
        ("0-2 0-2! 2-4", vec![]),
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
}

#[test]
fn blocks_not_to_be_compacted_split_their_window() {
    for (text, expected) in [
        ("0-2 2-4 4-6! 6-8 8-10", vec![1, 2]),
        ("0-2 2-4! 4-6 6-8 8-10", vec![3, 4]),
        ("0-2 2-4! 4-6 6-8! 8-10", vec![]),
        ("0-2! 2-4! 4-6! 6-8! 8-10", vec![]),
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
}

#[test]
fn large_blocks_with_deletions_are_written_anew() {
    for (text, expected) in [
        ("0-8t 8-10", vec![1]),
        ("0-2t 2-4", vec![]),
        ("0-8t! 8-10", vec![]),
        ("0-8t", vec![]),
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
}

#[test]
fn an_index_that_would_be_too_large_leaves_the_largest_out() {
    let mut all = blocks("0-2 2-4 4-6 6-8 8-10");
    all[1].index_bytes = 820;
    let step = PLANNER.next(&all);
    let marked = vec![all[1].id];
    assert_eq!(
        step,
        Step::Mark(marked, NoCompactReason::IndexSizeExceeding)
    );
    all[1].no_compact = true;
    assert_eq!(PLANNER.next(&all), Step::Merge(vec![all[2].id, all[3].id]));
}

#[test]
fn overlaps_of_downsampled_blocks_are_left_alone() {
    let planner = Planner {
        downsampled: true,
        ..PLANNER
    };
    let mut all = blocks("0-8 4-12 16-24");
    let marked = vec![all[0].id, all[1].id];
    let step = planner.next(&all);
    assert_eq!(
        step,
        Step::Mark(marked, NoCompactReason::DownsampleVerticalCompaction)
    );
    all[0].no_compact = true;
    all[1].no_compact = true;
    assert_eq!(planner.next(&all), Step::Nothing);
}
