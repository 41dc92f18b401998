//! Whether the configuration in force is what its files say.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::metrics::{Collect, Exposition, Registry};

/// What became of the configuration when it was read last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reloads {
    last: Arc<Mutex<LastReload>>,
    turn: Arc<Mutex<()>>,
}

/// How the last reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastReload {
    /// All of it is in force.
    pub succeeded: bool,
    /// When one succeeded last, in milliseconds since the Unix epoch; the start counts as one.
    pub succeeded_ms: i64,
}

impl Default for LastReload {
    fn default() -> Self {
        Self {
            succeeded: true,
            succeeded_ms: 0,
        }
    }
}

impl Reloads {
    /// None but that of the start, at `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        let reloads = Self::default();
        reloads.note(true, now_ms);
        reloads
    }

    /// The same; `registry` shows what they come to under Prometheus' names.
    pub fn shown_by(registry: &Registry, now_ms: i64) -> Self {
        let reloads = Self::new(now_ms);
        registry.register(Arc::new(reloads.clone()));
        reloads
    }

    /// Waits until no other reload goes on, and keeps others from beginning until what is returned is
    /// dropped: of several at once, by a signal and over HTTP, the one that was done last is the one
    /// that is noted last. Called on a thread that may block.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Notes that the configuration was read again.
    pub fn note(&self, succeeded: bool, now_ms: i64) {
        let mut last = self.last.lock();
        last.succeeded = succeeded;
        if succeeded {
            last.succeeded_ms = now_ms;
        }
    }

    /// What the last one came to.
    pub fn last(&self) -> LastReload {
        *self.last.lock()
    }
}

impl Collect for Reloads {
    fn collect(&self, out: &mut Exposition) {
        let last = self.last();
        out.gauge(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            &[],
            f64::from(u8::from(last.succeeded)),
        );
        out.gauge(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "When the configuration was read successfully last, in seconds since the Unix epoch.",
            &[],
            last.succeeded_ms as f64 / 1000.0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_not_forget_when_the_last_success_was() {
        let registry = Registry::default();
        let reloads = Reloads::shown_by(&registry, 1500);
        let shown = |reloads: &Reloads| {
            let LastReload {
                succeeded,
                succeeded_ms,
            } = reloads.last();
            (succeeded, succeeded_ms)
        };
        assert_eq!(shown(&reloads), (true, 1500));
        reloads.clone().note(false, 2500);
        assert_eq!(shown(&reloads), (false, 1500));
        let text = registry.text();
        for line in [
            "prometheus_config_last_reload_successful 0",
            "prometheus_config_last_reload_success_timestamp_seconds 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        reloads.note(true, 3500);
        assert_eq!(shown(&reloads), (true, 3500));
    }
}
