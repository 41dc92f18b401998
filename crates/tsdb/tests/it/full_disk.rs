//! Disks without room, as the kernel has them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Labels, TimeRange};
use tsdb::batch::{Batch, WriteError};
use tsdb::db::{Db, DbOptions};
use tsdb::durable;
use tsdb::head::{HeadOptions, SyncMode};

use crate::db::{filled, open, options, read};

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_000_000_000;

/// A file system in memory with room for so many files, until it is dropped.
struct FewFiles(PathBuf);

impl FewFiles {
    /// `None` after saying so where nothing can be mounted.
    fn mount(at: &Path, files: usize) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size=300m,nr_inodes={files}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: no file system can be mounted");
        None
    }
}

impl Drop for FewFiles {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Makes empty files until there can be no more.
fn fill(dir: &Path) -> Vec<PathBuf> {
    let mut made = Vec::new();
    loop {
        let path = dir.join(format!("ballast-{}", made.len()));
        match fs::File::create(&path) {
            Ok(_) => made.push(path),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
                return made;
            }
        }
    }
}

fn write(db: &Db, t: i64) -> Result<(), WriteError> {
    let mut batch = Batch::new();
    batch.series(&Labels::from_pairs([("__name__", "up")]));
    batch.float(t, t as f64);
    let appended = db.append(&batch, START)?;
    db.commit(appended.commit)
}

fn times(db: &Db) -> Vec<i64> {
    let all = read(db, TimeRange::ALL);
    all.values()
        .flat_map(|samples| samples.keys().copied())
        .collect()
}

#[test]
fn a_log_of_late_samples_that_had_no_room_begins_once_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = FewFiles::mount(dir.path(), 100) else {
        return;
    };
    let options = DbOptions {
        head: HeadOptions {
            out_of_order_window: 30 * MINUTE,
            sync: SyncMode::Always,
            replay_workers: 0,
            ..HeadOptions::default()
        },
        free_bytes_min: 0,
        ..DbOptions::default()
    };
    let db = Db::open(dir.path(), options.clone(), &mut |_| {}).unwrap();
    write(&db, START).unwrap();
    let ballast = fill(dir.path());
    for _ in 0..2 {
        write(&db, START - MINUTE).unwrap_err();
        db.check_disk(u64::MAX);
    }
    assert!(!dir.path().join("wbl").exists());
    // A directory may find place where its first file does not.
    fs::remove_file(&ballast[0]).unwrap();
    write(&db, START - 2 * MINUTE).unwrap_err();
    db.check_disk(u64::MAX);
    for path in &ballast[1..] {
        fs::remove_file(path).unwrap();
    }
    for t in [START - 3 * MINUTE, START + MINUTE] {
        write(&db, t).unwrap();
    }
    let written = times(&db);
    assert!(written.ends_with(&[START, START + MINUTE]), "{written:?}");
    assert!(written.contains(&(START - 3 * MINUTE)), "{written:?}");
    drop(db);
    let db = Db::open(dir.path(), options, &mut |_| {}).unwrap();
    assert_eq!(times(&db), written);
}

/// What is in a directory, but for logs and head chunks.
fn blocks(dir: &Path) -> BTreeSet<OsString> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let is_block = |name: &OsString| name.len() >= 26;
    names.filter(is_block).collect()
}

/// Writes a file until there is no room for a byte.
fn fill_bytes(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    for len in [1 << 20, 1 << 12, 1] {
        let bytes = vec![1; len];
        while let Ok(1..) = file.write(&bytes) {}
    }
}

#[test]
fn blocks_that_find_no_room_leave_what_they_are_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let (data, ballast) = (dir.path().join("data"), dir.path().join("ballast"));
    let Some(_mount) = FewFiles::mount(dir.path(), 5000) else {
        return;
    };
    let (mut db, model) = filled(&data, 30);
    for is_merged in [false, true] {
        let before = blocks(&data);
        let files = fill(dir.path());
        for _ in 0..2 {
            db.compact(START).unwrap_err();
            assert_eq!(blocks(&data), before, "no place for a file");
        }
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
        fill_bytes(&ballast);
        for _ in 0..2 {
            db.compact(START).unwrap_err();
            assert_eq!(blocks(&data), before, "no place for bytes");
        }
        fs::remove_file(&ballast).unwrap();
        assert!(read(&db, TimeRange::ALL) == model);
        if is_merged {
            break;
        }
        // Blocks are cut, and there is not twice their room for merging them.
        drop(db);
        let options = DbOptions {
            free_bytes_min: 1,
            ..options()
        };
        db = open(&data, options);
        db.check_disk(1);
        let error = db.compact(START).unwrap_err();
        assert!(error.to_string().contains("merge"), "{error}");
        assert!(blocks(&data).len() > 5);
        db.check_disk(u64::MAX);
    }
    let done = db.compact(START).unwrap();
    assert!(!done.merged.is_empty());
    assert!(read(&db, TimeRange::ALL) == model);
}

#[test]
fn a_used_up_quota_is_a_disk_without_room() {
    let quota = std::io::Error::from_raw_os_error(rustix::io::Errno::DQUOT.raw_os_error());
    assert!(durable::is_no_room(&quota));
    assert!(durable::is_no_room(&ErrorKind::StorageFull.into()));
    assert!(!durable::is_no_room(&std::io::Error::from_raw_os_error(5)));
}
