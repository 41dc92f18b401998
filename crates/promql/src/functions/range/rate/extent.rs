//! How far the difference between the ends of a window is extrapolated.

/// The extrapolations of windows met last.
pub(super) struct Shapes {
    usual: Alike,
    /// A late scrape makes two windows odd, the one that it begins and the one that it ends; each of
    /// them is followed by usual ones.
    odd: Alike,
    range_ms: i64,
    divisor: f64,
}

impl Shapes {
    /// None yet of windows `range_ms` wide; results are divided by `divisor`.
    pub(super) const fn new(range_ms: i64, divisor: f64) -> Self {
        Self {
            usual: Alike::NONE,
            odd: Alike::NONE,
            range_ms,
            divisor,
        }
    }

    /// The extrapolation of the window that starts at `start`.
    #[inline]
    pub(super) fn of(&mut self, extent: &Extent, start: i64) -> &Alike {
        if self.usual.holds(extent, start) {
            return &self.usual;
        }
        if self.odd.holds(extent, start) {
            std::mem::swap(&mut self.usual, &mut self.odd);
            return &self.usual;
        }
        let window = (start, start.saturating_add(self.range_ms));
        self.odd = Alike::new(extent, window, self.divisor);
        &self.odd
    }
}

/// The extrapolation of a window, for all that have their samples at the same places: scrapes are
/// regular, so most windows of a series do, and are spared six divisions.
pub(super) struct Alike {
    /// From the start of the window to its first sample.
    before_ms: i64,
    sampled_ms: i64,
    gaps: usize,
    pub(super) reach: Reach,
    /// Of windows whose extrapolation does not meet zero; with what makes a rate of it.
    pub(super) factor: f64,
}

impl Alike {
    /// Of no window, all of which have gaps.
    const NONE: Self = Self {
        before_ms: 0,
        sampled_ms: 0,
        gaps: 0,
        reach: Reach {
            sampled: 0.0,
            to_start: 0.0,
            to_end: 0.0,
        },
        factor: 0.0,
    };

    pub(super) fn new(extent: &Extent, window: (i64, i64), divisor: f64) -> Self {
        let reach = extent.reach(window);
        Self {
            before_ms: extent.first_t - window.0,
            sampled_ms: extent.last_t - extent.first_t,
            gaps: extent.gaps,
            factor: reach.factor(None) / divisor,
            reach,
        }
    }

    /// True when it is the extrapolation of a window that starts at `start`; all are equally wide.
    #[inline]
    pub(super) fn holds(&self, extent: &Extent, start: i64) -> bool {
        self.before_ms == extent.first_t - start
            && self.sampled_ms == extent.last_t - extent.first_t
            && self.gaps == extent.gaps
    }

    /// True when it is certain without a division that a counter which grew from `origin` by
    /// `result` was not zero yet where the extrapolation starts. The margins are far wider than
    /// what rounding may change.
    #[inline]
    pub(super) fn starts_before_zero(&self, origin: f64, result: f64) -> bool {
        let to_zero = origin * self.reach.sampled;
        to_zero > 1e-280 && to_zero > self.reach.to_start * result * 1.000_001
    }
}

/// Where in time the samples of a window are.
pub(super) struct Extent {
    pub(super) first_t: i64,
    pub(super) last_t: i64,
    /// Number of samples less one.
    pub(super) gaps: usize,
    /// When the counter was zero, if that is known and inside the window.
    pub(super) zero_point: Option<i64>,
}

impl Extent {
    /// How far an extrapolation to the window `(start, end]` goes: to its end if that is about as
    /// far as one sample from another, else half as far.
    pub(super) fn reach(&self, (start, end): (i64, i64)) -> Reach {
        let mut sampled = (self.last_t - self.first_t) as f64 / 1000.0;
        let average = if self.gaps == 0 {
            0.0
        } else {
            sampled / self.gaps as f64
        };
        let threshold = average * 1.1;
        let first_t = self.zero_point.unwrap_or(self.first_t);
        if self.zero_point.is_some() {
            sampled = (self.last_t - first_t) as f64 / 1000.0;
        }
        let mut to_start = (first_t - start) as f64 / 1000.0;
        let mut to_end = (end - self.last_t) as f64 / 1000.0;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Reach {
            sampled,
            to_start,
            to_end,
        }
    }
}

/// What is extrapolated from and how far, in seconds.
pub(super) struct Reach {
    /// Between the first and the last sample.
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

impl Reach {
    /// By how much the difference between the first and last sample grows when it is extrapolated,
    /// but no further than where a counter was zero, `to_zero` being the first value as a share of
    /// the difference.
    pub(super) fn factor(&self, to_zero: Option<f64>) -> f64 {
        let mut to_start = self.to_start;
        if let Some(share) = to_zero {
            let to_zero = self.sampled * share;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        (self.sampled + to_start + self.to_end) / self.sampled
    }
}
