use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::stop::{Pace, Stopped};
use model::{Labels, MatchOp, Matcher, Stop};
use proptest::prelude::*;

use super::*;
use crate::chunk::ChunkMeta;
use crate::cursor::put_uvarint_str;
use crate::error::Error;
use crate::source::{Memory, PositionedFile};

type Content = BTreeMap<Labels, Vec<ChunkMeta>>;

fn write(path: &Path, content: &Content) {
    let symbols: BTreeSet<&str> = content
        .keys()
        .flat_map(|l| l.iter().flat_map(|(n, v)| [n, v]))
        .collect();
    let mut writer = Writer::create(path).unwrap();
    for symbol in symbols {
        writer.add_symbol(symbol).unwrap();
    }
    for (labels, chunks) in content {
        writer.add_series(labels, chunks).unwrap();
    }
    writer.finish().unwrap();
}

fn bytes_of(content: &Content) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    write(&path, content);
    std::fs::read(path).unwrap()
}

fn open(bytes: Vec<u8>) -> Result<Reader> {
    Reader::open(Arc::new(Memory::new("index", bytes)))
}

fn walk(index: &Reader) -> Result<Vec<(SeriesRef, Labels, Vec<ChunkMeta>)>> {
    let mut walk = index.walk();
    let mut entry = SeriesEntry::default();
    let mut all = Vec::new();
    while let Some(series) = walk.next_into(&mut entry)? {
        all.push((series, index.labels(&entry)?, entry.chunks.clone()));
    }
    Ok(all)
}

fn values(index: &Reader, name: &str, prefix: &str) -> Result<Vec<String>> {
    let mut values = index.label_values(name, prefix)?;
    let mut all = Vec::new();
    while let Some(entry) = values.next()? {
        all.push(entry.value.to_owned());
    }
    Ok(all)
}

fn selected(index: &Reader, matchers: &[Matcher]) -> Result<Vec<Labels>> {
    let mut entry = SeriesEntry::default();
    index
        .postings_for_matchers(matchers)?
        .map(|series| {
            index.series(series, &mut entry)?;
            index.labels(&entry)
        })
        .collect()
}

/// Everything that an index says, through every door.
fn everything(index: &Reader) -> Result<Vec<String>> {
    let mut all = Vec::new();
    index.for_each_symbol(|s| {
        all.push(s.to_owned());
        Ok(())
    })?;
    for (series, labels, chunks) in walk(index)? {
        all.push(format!("{series:?} {labels} {chunks:?}"));
    }
    let names: Vec<&str> = index.label_names().collect();
    for name in names {
        for value in values(index, name, "")? {
            let refs: Vec<_> = index.postings(name, &value)?.collect();
            all.push(format!("{name}={value} {refs:?}"));
        }
    }
    all.push(format!("{:?}", index.all_postings()?.collect::<Vec<_>>()));
    Ok(all)
}

fn content(series: impl IntoIterator<Item = Labels>) -> Content {
    let mut reference = 8;
    let mut chunks = |n: u64| {
        (0..n)
            .map(|i| {
                reference += 100;
                ChunkMeta {
                    min_time: -500 + i as i64 * 1000,
                    max_time: -500 + i as i64 * 1000 + 900,
                    reference,
                }
            })
            .collect()
    };
    series
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .enumerate()
        .map(|(i, labels)| (labels, chunks(i as u64 % 4)))
        .collect()
}

/// A small index that has everything: many values (so several groups), long names, no chunks.
fn small() -> Content {
    content((0..40).map(|i| {
        Labels::from_pairs([
            ("__name__", format!("m{}", i % 2)),
            ("i", i.to_string()),
            (
                "séries",
                if i % 3 == 0 {
                    String::new()
                } else {
                    "x".repeat(i * 4)
                },
            ),
        ])
    }))
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = prop_oneof![
        Just("__name__"),
        Just("a"),
        Just("b"),
        Just("ü"),
        Just("zz")
    ];
    let value = prop_oneof!["[ab]{0,3}", "[0-9]{1,2}", "\\PC{0,6}"];
    proptest::collection::vec((name, value), 1..5)
        .prop_map(Labels::from_pairs)
        .prop_filter("a series needs a label", |l| !l.is_empty())
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let name = prop_oneof![Just("__name__"), Just("a"), Just("b"), Just("missing")];
    let value = prop_oneof![
        "[ab]{0,2}",
        Just(".*".to_owned()),
        Just(".+".to_owned()),
        Just("a|bb|".to_owned()),
        Just("a.*".to_owned()),
        Just("1|2|a".to_owned()),
        Just("[^a]*".to_owned())
    ];
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, &value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(series in proptest::collection::vec(labels(), 0..120)) {
        let content = content(series);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        write(&path, &content);
        let sources: [Arc<dyn ByteSource>; 2] = [
            Arc::new(Memory::map(&path).unwrap()),
            Arc::new(PositionedFile::open(&path).unwrap()),
        ];
        for source in sources {
            let index = Reader::open(source).unwrap();
            let read: Content = walk(&index).unwrap().into_iter().map(|(_, l, c)| (l, c)).collect();
            prop_assert_eq!(&read, &content);
            let all: Vec<_> = walk(&index).unwrap().iter().map(|s| s.0).collect();
            prop_assert_eq!(index.all_postings().unwrap().collect::<Vec<_>>(), all);
            let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (n, v) in content.keys().flat_map(Labels::iter) {
                by_name.entry(n).or_default().insert(v);
            }
            prop_assert!(index.label_names().eq(by_name.keys().copied()));
            for (name, expected) in by_name {
                prop_assert_eq!(index.label_value_count(name), expected.len());
                for prefix in ["", "a", "ab", "1", "z\u{10ffff}"] {
                    let of_prefix: Vec<&str> =
                        expected.iter().copied().filter(|v| v.starts_with(prefix)).collect();
                    prop_assert_eq!(values(&index, name, prefix).unwrap(), of_prefix);
                }
            }
        }
    }

    #[test]
    fn matchers_select_as_each_series_would_be_tested(
        series in proptest::collection::vec(labels(), 0..80),
        queries in proptest::collection::vec(proptest::collection::vec(matcher(), 0..4), 1..10),
    ) {
        let content = content(series);
        let index = open(bytes_of(&content)).unwrap();
        for matchers in queries {
            let expected: Vec<Labels> = content
                .keys()
                .filter(|l| matchers.iter().all(|m| m.matches(l.get(m.name()).unwrap_or_default())))
                .cloned()
                .collect();
            prop_assert_eq!(&selected(&index, &matchers).unwrap(), &expected, "{:?}", matchers);
            let names: BTreeSet<&str> = expected.iter().flat_map(|l| l.iter().map(|p| p.0)).collect();
            prop_assert!(index.label_names_matching(&matchers, &Pace::new(&Stop::never())).unwrap().iter().eq(names));
            for name in ["a", "__name__", "missing"] {
                let values: BTreeSet<&str> = expected.iter().filter_map(|l| l.get(name)).collect();
                prop_assert!(index.label_values_matching(name, &matchers, &Pace::new(&Stop::never())).unwrap().iter().eq(values));
            }
        }
    }

    #[test]
    fn any_bytes_open_or_fail(bytes: Vec<u8>) {
        prop_assert!(open(bytes).is_err());
    }
}

/// Rewrites an index of version 2 whose series are 16 times apart into version 1: symbols and
/// series by offset, the offset table in reverse.
fn as_version_1(content: &Content) -> Vec<u8> {
    let frame = |out: &mut Vec<u8>, payload: &[u8]| {
        out.extend((payload.len() as u32).to_be_bytes());
        out.extend(payload);
        out.extend(crc32c(payload).to_be_bytes());
    };
    let mut out = [&MAGIC.to_be_bytes()[..], &[1]].concat();
    let mut toc = Toc {
        symbols: 5,
        ..Toc::default()
    };
    let names: BTreeSet<&str> = content
        .keys()
        .flat_map(|l| l.iter().flat_map(|(n, v)| [n, v]))
        .collect();
    let mut payload = (names.len() as u32).to_be_bytes().to_vec();
    let mut symbols = BTreeMap::new();
    for s in names {
        symbols.insert(s, out.len() as u32 + 4 + payload.len() as u32);
        put_uvarint_str(&mut payload, s);
    }
    frame(&mut out, &payload);
    toc.series = out.len() as u64;
    let mut lists: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (labels, chunks) in content {
        let series = out.len() as u32;
        let entry = SeriesEntry {
            labels: labels
                .iter()
                .map(|(n, v)| (symbols[n], symbols[v]))
                .collect(),
            chunks: chunks.clone(),
        };
        let mut payload = Vec::new();
        entry.encode(&mut payload);
        crate::cursor::put_uvarint(&mut out, payload.len() as u64);
        out.extend(&payload);
        out.extend(crc32c(&payload).to_be_bytes());
        for pair in labels.iter().chain([("", "")]) {
            lists.entry(pair).or_default().push(series);
        }
    }
    toc.label_indices = out.len() as u64;
    toc.postings = out.len() as u64;
    let mut table = (lists.len() as u32).to_be_bytes().to_vec();
    for ((name, value), refs) in lists.iter().rev() {
        table.push(2);
        put_uvarint_str(&mut table, name);
        put_uvarint_str(&mut table, value);
        crate::cursor::put_uvarint(&mut table, out.len() as u64);
        let mut payload = (refs.len() as u32).to_be_bytes().to_vec();
        payload.extend(refs.iter().flat_map(|r| r.to_be_bytes()));
        frame(&mut out, &payload);
    }
    toc.postings_table = out.len() as u64;
    frame(&mut out, &table);
    out.extend(toc.encode());
    out
}

#[test]
fn version_1_is_read() {
    let content = small();
    let index = open(as_version_1(&content)).unwrap();
    assert_eq!(index.format_version(), Version::V1);
    let read: Content = walk(&index)
        .unwrap()
        .into_iter()
        .map(|(_, l, c)| (l, c))
        .collect();
    assert_eq!(read, content);
    let matcher = Matcher::new(MatchOp::Regex, "i", "1.").unwrap();
    assert_eq!(selected(&index, &[matcher]).unwrap().len(), 10);
    assert_eq!(values(&index, "i", "3").unwrap().len(), 11);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    std::fs::write(&path, as_version_1(&content)).unwrap();
    let positioned = Reader::open(Arc::new(PositionedFile::open(&path).unwrap())).unwrap();
    assert_eq!(
        everything(&positioned).unwrap(),
        everything(&index).unwrap()
    );
}

#[test]
fn version_3_is_read_like_version_2_and_later_ones_are_refused() {
    let mut bytes = bytes_of(&small());
    let expected = everything(&open(bytes.clone()).unwrap()).unwrap();
    bytes[4] = 3;
    assert_eq!(everything(&open(bytes.clone()).unwrap()).unwrap(), expected);
    bytes[4] = 4;
    let err = open(bytes).unwrap_err().to_string();
    assert!(
        err.contains("version 4 at offset 4 of the index index"),
        "{err}"
    );
}

/// Every error of a damaged index says where, and sound parts say what they said before.
fn check_damaged(bytes: Vec<u8>, expected: &[String], what: &str) {
    match open(bytes).and_then(|index| everything(&index)) {
        Ok(read) => assert_eq!(read, expected, "{what} went unnoticed"),
        Err(Error::Corrupt { file, expected, .. }) => {
            assert_eq!(file, Path::new("index"), "{what}");
            assert!(!expected.is_empty(), "{what}");
        }
        Err(Error::Unsupported { what: text, .. }) => {
            assert!(
                text.contains("offset 4 of the index index"),
                "{what}: {text}"
            );
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    for bytes in [bytes_of(&small()), as_version_1(&small())] {
        let expected = everything(&open(bytes.clone()).unwrap()).unwrap();
        for i in 0..bytes.len() {
            for flip in [1, 0x80] {
                let mut bad = bytes.clone();
                bad[i] ^= flip;
                check_damaged(bad, &expected, &format!("byte {i} ^ {flip}"));
            }
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let bytes = bytes_of(&small());
    for len in 0..bytes.len() {
        let err = open(bytes[..len].to_vec()).unwrap_err();
        assert!(matches!(err, Error::Corrupt { .. }), "length {len}: {err}");
    }
}

#[test]
fn the_writer_refuses_what_readers_rely_on() {
    let dir = tempfile::tempdir().unwrap();
    let chunk = |min_time, max_time, reference| ChunkMeta {
        min_time,
        max_time,
        reference,
    };
    let a = |v: &str| Labels::from_pairs([("a", v)]);
    let mut writer = Writer::create(&dir.path().join("index")).unwrap();
    for symbol in ["", "0", "1", "2", "a"] {
        writer.add_symbol(symbol).unwrap();
    }
    for bad in ["a", "1"] {
        assert!(writer.add_symbol(bad).is_err());
    }
    writer.add_series(&a("1"), &[chunk(0, 1, 50)]).unwrap();
    let mut refused = |labels: Labels, chunks: &[ChunkMeta], why: &str| {
        let err = writer.add_series(&labels, chunks).unwrap_err().to_string();
        assert!(err.contains(why), "{err}");
    };
    refused(a("1"), &[], "does not come after");
    refused(a("0"), &[], "does not come after");
    refused(a("3"), &[], "was not added as a symbol");
    refused(
        Labels::from_pairs([("a", "2"), ("", "1")]),
        &[],
        "every label a name",
    );
    refused(
        a("2"),
        &[chunk(0, 1, 49)],
        "chunk reference 49 comes after 50",
    );
    refused(a("2"), &[chunk(1, 0, 60)], "not after its predecessor");
    refused(
        a("2"),
        &[chunk(0, 5, 60), chunk(5, 6, 70)],
        "not after its predecessor",
    );
    assert!(writer.add_symbol("z").is_err());
    writer.add_series(&a("2"), &[chunk(0, 1, 60)]).unwrap();
    writer.finish().unwrap();
}

/// A source that holds some ranges only, as of an object that is fetched in parts.
#[derive(Debug)]
struct Parts {
    whole: Memory,
    held: Vec<Range<u64>>,
}

impl ByteSource for Parts {
    fn path(&self) -> &Path {
        self.whole.path()
    }

    fn size(&self) -> u64 {
        self.whole.size()
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let is_held = |held: &Range<u64>| held.start <= range.start && range.end <= held.end;
        match self.held.iter().any(is_held) {
            true => self.whole.read(range),
            false => Err(Error::Invalid(format!("{range:?} is not held"))),
        }
    }
}

#[test]
fn a_plan_names_the_ranges_that_answer_it() {
    let series = (0..200).map(|i| {
        Labels::from_pairs([
            ("__name__", format!("m{}", i % 3)),
            ("i", format!("{i:03}")),
            ("job", format!("j{}", i % 7)),
        ])
    });
    let whole = Memory::new("index", bytes_of(&content(series)));
    let index = Reader::open(Arc::new(whole.clone())).unwrap();
    let toc = *index.toc();
    let matcher = |op, name, value| Matcher::new(op, name, value).unwrap();
    for matchers in [
        vec![],
        vec![Matcher::equal("__name__", "m1")],
        vec![
            Matcher::equal("__name__", "m2"),
            matcher(MatchOp::Regex, "i", "1.*"),
            matcher(MatchOp::NotEqual, "job", "j3"),
        ],
        vec![matcher(MatchOp::Regex, "job", "j1|j6|nothing")],
        vec![Matcher::equal("job", "none")],
    ] {
        let stop = Stop::never();
        let pace = Pace::new(&stop);
        let plan = index.plan_postings(&matchers, &pace).unwrap();
        let groups = plan.kept.iter().chain(&plan.dropped);
        let lists = groups.flat_map(|g| &g.lists);
        let mut held: Vec<_> = lists.map(|l| index.list_range(*l).unwrap()).collect();
        held.push(toc.symbols..toc.series);
        held.push(toc.postings_table..whole.size());
        let parts = index.over(Arc::new(Parts {
            whole: whole.clone(),
            held,
        }));
        let found: Vec<_> = parts.planned_postings(&plan, &pace).unwrap().collect();
        let expected: Vec<_> = index.postings_for_matchers(&matchers).unwrap().collect();
        assert_eq!(found, expected, "{matchers:?}");
        assert!(
            parts
                .series(SeriesRef(7), &mut SeriesEntry::default())
                .is_err()
        );
    }
}

#[test]
fn looking_for_series_ends_when_nobody_waits() {
    let series = (0..3_000).map(|i| {
        Labels::from_pairs([
            ("a", format!("{i:05}")),
            ("b", format!("{}", i % 2)),
            ("c", format!("{:05}", i / 2)),
        ])
    });
    let index = open(bytes_of(&content(series))).unwrap();
    let regex = |name, value| Matcher::new(MatchOp::Regex, name, value).unwrap();
    // How often each look at a label value, and each list, is worth a look at who waits.
    for (matchers, looks_min) in [
        (vec![regex("a", ".*[1-5].*")], 60),
        (vec![regex("a", ".+"), Matcher::not_equal("c", "00007")], 60),
        (vec![regex("c", "0+[0-9]*"), Matcher::equal("b", "1")], 30),
    ] {
        let run = |looks| {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&seen);
            let stop = Stop::when(move || count.fetch_add(1, Ordering::Relaxed) >= looks);
            let found = index.postings_at_pace(&matchers, &Pace::new(&stop));
            let found = found.map(Iterator::count);
            (found, seen.load(Ordering::Relaxed))
        };
        let (found, all) = run(usize::MAX);
        assert!(
            found.unwrap() > 100 && all > looks_min,
            "{all} {matchers:?}"
        );
        for looks in [0, all / 2, all - 1] {
            let (found, seen) = run(looks);
            assert!(matches!(found, Err(Error::Stopped(Stopped))), "{found:?}");
            assert_eq!(seen, looks + 1);
        }
    }
}
