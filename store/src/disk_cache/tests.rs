use proptest::prelude::*;

use super::*;

fn key(block: u128, number: u32) -> PageKey {
    let block = Ulid(block);
    let object = match block.0 % 2 {
        0 => BlockObject::Index(block),
        _ => BlockObject::Chunks(block, 7),
    };
    PageKey {
        object,
        content: 0x0102_0304,
        page: number,
    }
}

/// A page whose bytes say which it is.
fn page(key: PageKey, len: usize) -> Bytes {
    let seed = format!("{} {} ", key.object, key.page);
    seed.bytes().cycle().take(len).collect()
}

fn open(dir: &Path, bytes_max: u64) -> DiskCache {
    DiskCache::open(dir.to_owned(), bytes_max, Arc::default()).unwrap()
}

fn bytes_in(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap();
    files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn pages_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<PageKey> = (0..40).map(|i| key(i / 4, i as u32 % 4)).collect();
    let len = |i: usize| 1000 + i * 100;
    let cache = open(dir.path(), 100 << 20);
    cache.put(keys.iter().enumerate().map(|(i, k)| (*k, page(*k, len(i)))));
    for cache in [cache, open(dir.path(), 100 << 20)] {
        for (i, &key) in keys.iter().enumerate() {
            assert_eq!(cache.get(key, len(i)), Some(page(key, len(i))));
            assert_eq!(cache.get(key, len(i) + 1), None, "the object has changed");
            let other = PageKey { content: 5, ..key };
            assert_eq!(cache.get(other, len(i)), None, "the object has changed");
        }
        assert_eq!(cache.get(key(99, 0), 1000), None);
        assert_eq!(cache.stats.hits.get(), 40);
        assert_eq!(cache.stats.damaged.get(), 0);
    }
}

#[test]
fn the_oldest_make_room_unless_they_are_read() {
    const LEN: usize = 64 << 10;
    const MAX: u64 = 32 << 20;
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), MAX);
    let favourite = key(1, 0);
    cache.put([(favourite, page(favourite, LEN))]);
    for i in 0..2000 {
        let key = key(2, i);
        cache.put([(key, page(key, LEN))]);
        assert_eq!(
            cache.get(favourite, LEN),
            Some(page(favourite, LEN)),
            "after {i}"
        );
    }
    assert!(bytes_in(dir.path()) <= MAX);
    assert_eq!(cache.stats.bytes.get(), bytes_in(dir.path()));
    assert_eq!(cache.get(key(2, 0), LEN), None);
    assert!(cache.get(key(2, 1999), LEN).is_some());

    // Fewer bytes than before are kept to at once.
    drop(cache);
    let cache = open(dir.path(), 4 << 20);
    assert!(bytes_in(dir.path()) <= 4 << 20);
    assert!(cache.get(key(2, 1999), LEN).is_some());
}

#[test]
fn a_directory_that_cannot_be_written_keeps_nothing_and_fails_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&dir.path().join("pages"), 4 << 20);
    fs::remove_dir_all(dir.path().join("pages")).unwrap();
    cache.put([(key(1, 0), page(key(1, 0), 100))]);
    assert_eq!(cache.get(key(1, 0), 100), None);
    assert_eq!(cache.stats.failures.get(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the files, a page is right or missing; and pages before the damage stay.
    #[test]
    fn damage_loses_pages_and_invents_none(
        at in 0.0..1.0_f64,
        damage in prop_oneof![
            (1..=255_u8).prop_map(Some),
            Just(None),
        ],
        reopen in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<PageKey> = (0..20).map(|i| key(i, 3)).collect();
        let mut cache = open(dir.path(), 64 << 20);
        cache.put(keys.iter().map(|k| (*k, page(*k, 500))));
        let path = cache.path(1);
        let mut bytes = fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        match damage {
            Some(flip) => bytes[at] ^= flip,
            None => bytes.truncate(at),
        }
        fs::write(&path, &bytes).unwrap();
        if reopen {
            cache = open(dir.path(), 64 << 20);
        }
        let before = at / (HEAD_LEN + 500);
        for (i, &key) in keys.iter().enumerate() {
            let found = cache.get(key, 500);
            let expected = page(key, 500);
            prop_assert!(found.is_none() || found == Some(expected));
            prop_assert_eq!(found.is_some() || i >= before, true);
        }
        prop_assert_eq!(cache.get(keys[before], 500), None);
        // It goes on.
        cache.put([(keys[before], page(keys[before], 500))]);
        prop_assert_eq!(cache.get(keys[before], 500), Some(page(keys[before], 500)));
    }

    #[test]
    fn any_file_can_be_opened(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let mut entry = head(key(1, 1), b"abc").unwrap().to_vec();
        entry.extend_from_slice(b"abc");
        entry.extend_from_slice(&bytes);
        fs::write(dir.path().join(format!("{:016}{SUFFIX}", 5)), entry).unwrap();
        fs::write(dir.path().join("other.pages"), bytes).unwrap();
        let cache = open(dir.path(), 64 << 20);
        prop_assert_eq!(cache.get(key(1, 1), 3), Some(Bytes::from_static(b"abc")));
    }
}
