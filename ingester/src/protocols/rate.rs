//! What somebody may still send: an allowance that fills with time, up to a burst.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Those whose allowance is kept at once. Beyond it, those who were silent are forgotten.
const KEPT_MAX: usize = 10_000;

/// How much somebody may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// In a second; 0 for any number.
    pub(super) per_second: u64,
    /// Seconds' worth that may be sent at once.
    pub(super) burst_seconds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    as_of_ms: i64,
}

/// Allowances by name.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    known: Mutex<HashMap<String, Allowance>>,
}

impl Allowances {
    /// Takes `cost` from what `who` may send; false when nothing is left. It may overdraw, or what
    /// is larger than the whole allowance could never be sent.
    pub(super) fn spend(&self, who: &str, cost: u64, rate: Rate, now_ms: i64) -> bool {
        if rate.per_second == 0 {
            return true;
        }
        let per_second = rate.per_second as f64;
        let full = per_second * f64::from(rate.burst_seconds);
        let mut allowances = self.known.lock();
        if allowances.len() >= KEPT_MAX && !allowances.contains_key(who) {
            // Those who were silent for the burst's time have a full allowance, which is no state.
            let burst_ms = i64::from(rate.burst_seconds) * 1000;
            allowances.retain(|_, allowance| now_ms - allowance.as_of_ms < burst_ms);
        }
        let known = allowances.get(who).copied();
        let mut allowance = known.unwrap_or(Allowance {
            left: full,
            as_of_ms: now_ms,
        });
        let elapsed_ms = (now_ms - allowance.as_of_ms).max(0) as f64;
        allowance.left = (allowance.left + elapsed_ms / 1000.0 * per_second).min(full);
        allowance.as_of_ms = now_ms;
        let allowed = allowance.left > 0.0;
        if allowed {
            allowance.left -= cost as f64;
        }
        allowances.insert(who.to_owned(), allowance);
        allowed
    }
}
