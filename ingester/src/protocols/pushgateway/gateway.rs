//! The groups that the receiver holds: in memory, in their file, and in the TSDB.

use std::io;

use parking_lot::Mutex;
use runtime::http::Request;

use super::decode::{DecodeError, decode};
use super::groups::{Change, Group, Groups, Tenants};
use super::handler::is_protobuf;
use super::metrics::Families;
use super::path::GroupKey;
use super::{Options, file, repeat};
use crate::protocols::points::{Points, Reason};
use crate::protocols::sink::{Sink, StoreError, encoding_of};
use crate::receive::Encoding;

/// What snappy's stream of frames begins with.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\0\0sNaPpY";

/// A gateway.
#[derive(Debug)]
pub struct Gateway {
    sink: Sink,
    options: Options,
    held: Mutex<Held>,
}

/// What is held. Locked while a push is decided on and made durable, and while the groups are stored
/// again: pushes are few, and what is of one moment is written once.
#[derive(Debug)]
struct Held {
    tenants: Tenants,
    /// The time of what was written last.
    written_ms: i64,
}

impl Held {
    /// The time of a write: no two are at one, or the storage would keep the first only.
    fn moment(&mut self, now_ms: i64) -> i64 {
        self.written_ms = now_ms.max(self.written_ms + 1);
        self.written_ms
    }
}

/// Why a request was not done.
pub(super) enum Refusal {
    /// It names no group, or its body is no metrics at all.
    Body(String),
    /// It is wrong; the group notes a failure.
    Push(String),
    /// It cannot be taken as it is, or now.
    Store(StoreError),
    /// Some of it was not stored, such as series beyond a limit.
    Points {
        /// How many samples.
        count: usize,
        /// Why the first was not.
        reason: Reason,
        /// The first.
        shown: String,
    },
    /// There are as many groups as there may be.
    Full,
    /// The groups could not be kept.
    File(io::Error),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Gateway {
    /// A gateway with the groups of its file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(sink: Sink, options: Options) -> io::Result<Self> {
        let tenants = match &options.file {
            Some(path) => file::read(path)?,
            None => Tenants::default(),
        };
        let held = Held {
            tenants,
            written_ms: 0,
        };
        Ok(Self {
            sink,
            options,
            held: Mutex::new(held),
        })
    }

    /// How it takes pushes.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The time.
    pub(super) fn now_ms(&self) -> i64 {
        self.sink.now_ms()
    }

    /// The groups of the tenant that asks, as `show` shows them.
    pub(super) fn shown<T>(
        &self,
        request: &Request,
        show: impl FnOnce(&Groups) -> T,
    ) -> Result<T, Refusal> {
        let tenant = self.sink.tenant(&request.headers)?;
        let held = self.held.lock();
        let none = Groups::default();
        Ok(show(held.tenants.get(tenant).unwrap_or(&none)))
    }

    /// Deletes all groups of the tenant that asks.
    pub(super) fn wipe(&self, request: &Request) -> Result<(), Refusal> {
        let tenant = self.sink.tenant(&request.headers)?;
        let mut held = self.held.lock();
        let groups = held.tenants.get(tenant).cloned().unwrap_or_default();
        let mut changed = held.tenants.clone();
        *changed.of(tenant) = Groups::default();
        self.keep(&mut held, changed)?;
        let t_ms = held.moment(self.sink.now_ms());
        for (key, group) in groups.iter() {
            self.mark_ended((tenant, key), Some(group), (&held, t_ms));
        }
        Ok(())
    }

    /// Changes the group that is named by `path`, which is what follows `/metrics/`; without a
    /// `change` it is deleted.
    pub(super) fn change(
        &self,
        request: &Request,
        path: &str,
        change: Option<Change>,
    ) -> Result<(), Refusal> {
        let key = GroupKey::parse(path).map_err(|error| {
            self.sink.malformed("", &error);
            Refusal::Body(error.to_string())
        })?;
        let tenant = self.sink.tenant(&request.headers)?;
        let mut held = self.held.lock();
        let groups = held.tenants.get(tenant);
        let before = groups.and_then(|groups| groups.get(&key)).cloned();
        let t_ms = match change {
            Some(change) => self.push(request, (tenant, &key), change, &mut held)?,
            None => {
                let mut changed = held.tenants.clone();
                changed.of(tenant).delete(&key);
                self.keep(&mut held, changed)?;
                held.moment(self.sink.now_ms())
            }
        };
        self.mark_ended((tenant, &key), before.as_deref(), (&held, t_ms));
        Ok(())
    }

    /// Takes a push to the group `key` of a tenant, and returns its time; one that is wrong is noted
    /// there.
    fn push(
        &self,
        request: &Request,
        (tenant, key): (&str, &GroupKey),
        change: Change,
        held: &mut Held,
    ) -> Result<i64, Refusal> {
        if held.tenants.is_full_for(tenant, key) {
            let error = "as many groups as there may be";
            self.sink.refused(tenant, "too_many_groups", &error);
            return Err(Refusal::Full);
        }
        let pushed = self.read(request, (tenant, key), change, &held.tenants);
        match pushed {
            Ok(families) => {
                let now_ms = held.moment(self.sink.now_ms());
                let mut changed = held.tenants.clone();
                let groups = changed.of(tenant);
                let names: Vec<_> = families.keys().cloned().collect();
                groups.push(key, change, families, now_ms);
                let group = groups.get(key).expect("it was pushed to");
                self.store(tenant, key, (group, &names), now_ms)?;
                self.keep(held, changed)?;
                Ok(now_ms)
            }
            Err(refusal) => {
                match &refusal {
                    Refusal::Body(error) => self.sink.malformed(tenant, error),
                    Refusal::Push(error) => self.sink.refused(tenant, "inconsistent", error),
                    _ => {}
                }
                // As the Pushgateway does it: what cannot be read is not noted.
                if matches!(refusal, Refusal::Push(_)) {
                    let mut changed = held.tenants.clone();
                    changed.of(tenant).fail(key, self.sink.now_ms());
                    self.keep(held, changed)?;
                }
                Err(refusal)
            }
        }
    }

    /// What a request pushes.
    fn read(
        &self,
        request: &Request,
        (tenant, key): (&str, &GroupKey),
        change: Change,
        tenants: &Tenants,
    ) -> Result<Families, Refusal> {
        let headers = &request.headers;
        let body = &request.body;
        // What the Pushgateway does not know it takes for not compressed, and its older versions do not
        // know snappy.
        let snappy = match body.starts_with(SNAPPY_FRAMES) {
            true => Encoding::SnappyFramed,
            false => Encoding::Identity,
        };
        let encoding = encoding_of(headers, Some(snappy)).unwrap_or(Encoding::Identity);
        let body = self.sink.expand(tenant, encoding, body)?;
        let check = self.options.check_consistency;
        let families =
            decode(&body, is_protobuf(headers), key, check).map_err(|error| match error {
                DecodeError::Inconsistent(_) => Refusal::Push(error.to_string()),
                _ => Refusal::Body(error.to_string()),
            })?;
        let groups = tenants.get(tenant).filter(|_| check);
        match groups.and_then(|groups| groups.conflict(key, change, &families)) {
            Some(reason) => Err(Refusal::Push(DecodeError::Inconsistent(reason).to_string())),
            None => Ok(families),
        }
    }

    /// Stores those families of a group that were pushed at `now_ms`, and when that was.
    fn store(
        &self,
        tenant: &str,
        key: &GroupKey,
        (group, pushed): (&Group, &[String]),
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut points = Points::new();
        let times = group.times(key);
        let families = pushed.iter().filter_map(|name| group.families.get(name));
        let families = families.chain(times.iter().map(|(_, family)| family));
        let mut wrong = None;
        for metric in families.flat_map(|family| &family.metrics) {
            metric.each_series(|labels, value| {
                let added = points.add(labels, now_ms, value, &self.sink.limits().labels);
                wrong = wrong.or(added.err());
            });
        }
        if let Some(reason) = wrong {
            self.sink.refused(tenant, reason.name(), &reason);
            return Err(Refusal::Push(reason.to_string()));
        }
        let stored = self.sink.store(tenant, &points)?;
        match stored.refusals.kept().first() {
            None => Ok(()),
            Some(refused) => Err(Refusal::Points {
                count: stored.refusals.len(),
                reason: refused.reason,
                shown: refused.shown.clone(),
            }),
        }
    }

    /// Puts changed groups in the place of what is held, and into their file; all is as before when
    /// that fails.
    fn keep(&self, held: &mut Held, mut changed: Tenants) -> io::Result<()> {
        changed.tidy();
        if let Some(path) = &self.options.file {
            file::write(path, &changed)?;
        }
        held.tenants = changed;
        Ok(())
    }

    /// Marks series of the group `key` as ended at `t_ms` that it had `before` and no longer has.
    fn mark_ended(
        &self,
        (tenant, key): (&str, &GroupKey),
        before: Option<&Group>,
        (held, t_ms): (&Held, i64),
    ) {
        let groups = held.tenants.get(tenant);
        let after = groups.and_then(|groups| groups.get(key));
        let limits = &self.sink.limits().labels;
        let points = repeat::ended(key, (before, after.map(|group| &**group)), t_ms, limits);
        if let Err(error) = self.sink.repeat(tenant, &points) {
            tracing::warn!(tenant, %error, "series of a group that is gone were not marked as ended");
        }
    }

    /// Stores all groups as of now.
    pub(super) fn repeat(&self) {
        let mut held = self.held.lock();
        let t_ms = held.moment(self.sink.now_ms());
        let limits = &self.sink.limits().labels;
        for (tenant, groups) in held.tenants.iter() {
            let mut points = Points::new();
            let mut failure = None;
            for (key, group) in groups.iter() {
                group.each_metric(key, |metric| {
                    repeat::add(&mut points, metric, t_ms, limits);
                    if points.len() >= repeat::POINTS_TOGETHER {
                        failure = failure.take().or(self.sink.repeat(tenant, &points).err());
                        points.clear();
                    }
                });
            }
            let last = self.sink.repeat(tenant, &points);
            if let Some(error) = failure.or(last.err()) {
                tracing::warn!(tenant, %error, "pushed groups were not stored again");
            }
        }
    }
}
