use std::sync::Arc;

use runtime::ManualClock;
use tsdb::batch::Batch;

use super::*;
use crate::protocols::status::Status;
use crate::protocols::testing::{REFUSED_MS, Recorder};

struct Setup {
    dir: tempfile::TempDir,
    storage: Arc<Recorder>,
    status: Arc<Status>,
}

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            storage: Arc::default(),
            status: Arc::default(),
        }
    }

    /// The buffer of a process that begins now.
    fn open(&self, bytes_max: u64) -> Buffer {
        let options = BufferOptions {
            dir: self.dir.path().join("buffer"),
            bytes_max,
            single_tenant: false,
            lock: true,
        };
        let clock = Arc::new(ManualClock::new(5_000));
        Buffer::open(options, clock, self.status.of(BUFFER)).unwrap()
    }

    fn attach(&self, buffer: &Buffer) {
        buffer.attach(Arc::<Recorder>::clone(&self.storage));
    }
}

fn push(buffer: &Buffer, tenant: &str, t: i64) -> Result<Appended, WriteError> {
    let mut batch = Batch::new();
    batch.series([("__name__", "m")]);
    batch.float(t, 1.0);
    let appended = buffer.append(tenant, &batch)?;
    buffer.commit(tenant, appended.commit)?;
    Ok(appended)
}

fn line(tenant: &str, t: i64) -> String {
    format!(r#"{tenant}|{{__name__="m"}} 1 @ {t}"#)
}

const MAX: u64 = 1 << 20;

#[test]
fn what_is_pushed_at_the_start_survives_a_kill_and_comes_in_order() {
    let setup = Setup::new();
    let buffer = setup.open(MAX);
    for t in 0..3 {
        let held = push(&buffer, "", t).unwrap();
        assert_eq!((held.floats, held.commit), (1, HELD));
    }
    push(&buffer, "acme", 9).unwrap();
    drop(buffer);

    let buffer = setup.open(MAX);
    let figures = buffer.figures();
    assert_eq!((figures.holding_tenants, figures.queues.samples), (2, 4));
    assert_eq!(figures.queues.oldest_ms, Some(5_000));
    push(&buffer, "", 3).unwrap();
    setup.attach(&buffer);
    // The storage is there, but nothing overtakes what waits.
    push(&buffer, "", 4).unwrap();
    assert_eq!(setup.storage.take(), Vec::<String>::new());
    buffer.drain();
    let mut stored = setup.storage.take();
    stored.sort();
    let mut expected: Vec<_> = (0..5).map(|t| line("", t)).collect();
    expected.insert(0, line("acme", 9));
    assert_eq!(stored, expected);
    assert_eq!(buffer.figures().holding_tenants, 0);
    push(&buffer, "", 5).unwrap();
    assert_eq!(setup.storage.take(), [line("", 5)]);
}

#[test]
fn a_storage_that_stops_and_goes_on_loses_and_doubles_nothing() {
    let setup = Setup::new();
    let buffer = setup.open(MAX);
    setup.attach(&buffer);
    push(&buffer, "", 0).unwrap();
    *setup.storage.failure.lock() = Some(ErrorKind::Unavailable);
    push(&buffer, "", 1).unwrap();
    buffer.drain();
    push(&buffer, "", 2).unwrap();
    assert_eq!(setup.storage.take(), [line("", 0)]);
    *setup.storage.failure.lock() = None;
    push(&buffer, "", 3).unwrap();
    buffer.drain();
    assert_eq!(
        setup.storage.take(),
        [line("", 1), line("", 2), line("", 3)]
    );
    let figures = buffer.figures();
    assert_eq!((figures.held_samples, figures.drained_samples), (3, 3));
    buffer.drain();
    assert_eq!(setup.storage.take(), Vec::<String>::new());
}

#[test]
fn errors_that_are_not_for_now_are_not_held() {
    let setup = Setup::new();
    let buffer = setup.open(MAX);
    setup.attach(&buffer);
    *setup.storage.failure.lock() = Some(ErrorKind::Exhausted);
    let error = push(&buffer, "", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(buffer.figures().held_samples, 0);
    let starting = Setup::new();
    assert!(push(&starting.open(MAX), ".hidden", 1).is_err());
}

#[test]
fn a_full_buffer_and_one_that_is_off_push_back() {
    let setup = Setup::new();
    let buffer = setup.open(300);
    let held = (0..100)
        .take_while(|t| push(&buffer, "", *t).is_ok())
        .count();
    assert!((1..20).contains(&held), "{held}");
    let error = push(&buffer, "", 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("full"), "{error}");
    setup.attach(&buffer);
    buffer.drain();
    assert_eq!(setup.storage.take().len(), held);
    push(&buffer, "", 100).unwrap();
    drop(buffer);

    let off = setup.open(0);
    let error = push(&off, "", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    setup.attach(&off);
    push(&off, "", 1).unwrap();
}

#[test]
fn what_the_head_refuses_later_is_shown() {
    let setup = Setup::new();
    let buffer = setup.open(MAX);
    push(&buffer, "", REFUSED_MS).unwrap();
    push(&buffer, "", 1).unwrap();
    setup.attach(&buffer);
    buffer.drain();
    assert_eq!(setup.storage.take(), [line("", 1)]);
    let figures = &setup.status.figures()[BUFFER];
    assert_eq!((figures.points, figures.refused["out_of_order"]), (1, 1));
    let recent = setup.status.recent();
    assert_eq!(
        (recent[0].protocol, recent[0].reason),
        (BUFFER, "out_of_order")
    );
    assert!(recent[0].point.contains("1000013000"), "{recent:?}");
}

#[test]
fn two_processes_do_not_share_it() {
    let setup = Setup::new();
    let _first = setup.open(MAX);
    let options = BufferOptions {
        dir: setup.dir.path().join("buffer"),
        bytes_max: MAX,
        single_tenant: false,
        lock: true,
    };
    let clock = Arc::new(ManualClock::new(0));
    assert!(Buffer::open(options, clock, setup.status.of(BUFFER)).is_err());
}
