//! What a decoder makes of a request: points that may be stored, and those that may not with why.

use std::collections::BTreeMap;
use std::fmt;

use model::Labels;
use model::labels::METRIC_NAME;
use tsdb::batch::{Batch, SeriesRef};

use super::named::{Named, NamedSeries};
use super::names::Names;
use crate::receive::{LabelLimits, Reason as LabelReason, normalize};

/// Bytes of a point that are shown where it was refused.
const SHOWN_BYTES: usize = 256;
/// Refused points of a request that are told apart; further ones are only counted. A request of
/// nothing but tiny wrong points would otherwise grow to many times its size.
const REFUSED_KEPT_MAX: usize = 10_000;

/// Why a point was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not of the form that its protocol has.
    Malformed,
    /// It has no metric name.
    NoName,
    /// It has characters that its protocol does not allow in a name or a label.
    InvalidCharacter,
    /// Its time is none, or not one that the protocol can say.
    InvalidTimestamp,
    /// It has no value.
    NoValue,
    /// Its value is not a number.
    InvalidValue,
    /// It has no labels where its protocol demands one.
    NoLabels,
    /// One of its labels is not a name with a value.
    InvalidLabel,
    /// Two of its labels have one name.
    DuplicateLabel,
    /// It has more labels than its protocol allows.
    TooManyLabels,
    /// Its metric name is longer than its protocol allows.
    NameTooLong,
    /// It is older than its protocol allows.
    Expired,
    /// It says something that is no number, and is not kept.
    Information,
    /// Its request says in few bytes what is far more.
    Expanded,
    /// Its labels cannot be those of a series, or the head did not take it.
    Series(LabelReason),
}

impl Reason {
    /// Its name as the value of a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoName => "no_metric_name",
            Self::InvalidCharacter => "invalid_character",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::NoValue => "no_value",
            Self::InvalidValue => "invalid_value",
            Self::NoLabels => "no_labels",
            Self::InvalidLabel => "invalid_label",
            Self::DuplicateLabel => "duplicate_label",
            Self::TooManyLabels => "too_many_labels",
            Self::NameTooLong => "metric_name_too_long",
            Self::Expired => "expired",
            Self::Information => "information",
            Self::Expanded => "request_expanded",
            Self::Series(reason) => reason.name(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a point of this protocol",
            Self::NoName => "no metric name",
            Self::InvalidCharacter => "character that is not allowed in a name or label",
            Self::InvalidTimestamp => "invalid timestamp",
            Self::NoValue => "no value",
            Self::InvalidValue => "value is not a number",
            Self::NoLabels => "no labels",
            Self::InvalidLabel => "invalid label",
            Self::DuplicateLabel => "two labels with the same name",
            Self::TooManyLabels => "too many labels",
            Self::NameTooLong => "metric name too long",
            Self::Expired => "too old for this protocol",
            Self::Information => "not a number, and information is not kept",
            Self::Expanded => "the request comes to more labels than it may; send it in parts",
            Self::Series(reason) => return reason.fmt(f),
        })
    }
}

/// A point that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number in the request, from 0.
    pub point: usize,
    /// Its series in the batch, when it was the storage that refused it.
    pub series: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// What it looks like, cut when it is long.
    pub shown: String,
}

/// The points of a request that were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    kept: Vec<Refused>,
    by_reason: BTreeMap<&'static str, u64>,
    count: usize,
}

impl Refusals {
    /// Adds one, which is only counted when there are many. Returns whether it was kept.
    pub fn add(
        &mut self,
        point: usize,
        series: Option<usize>,
        reason: Reason,
        shown: impl FnOnce() -> String,
    ) -> bool {
        self.count += 1;
        *self.by_reason.entry(reason.name()).or_default() += 1;
        if self.kept.len() >= REFUSED_KEPT_MAX {
            return false;
        }
        let mut shown = shown();
        shown.truncate(shown.floor_char_boundary(SHOWN_BYTES));
        self.kept.push(Refused {
            point,
            series,
            reason,
            shown,
        });
        true
    }

    /// The first of them.
    pub fn kept(&self) -> &[Refused] {
        &self.kept
    }

    /// How many, by the name of the reason.
    pub fn by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.by_reason
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts them into the order of the request.
    pub(super) fn sort(&mut self) {
        self.kept.sort_by_key(|refused| refused.point);
    }

    /// Adds those of another decoder, numbered anew from `first`.
    fn append(&mut self, others: &Self, first: usize) {
        let room = REFUSED_KEPT_MAX.saturating_sub(self.kept.len());
        let others_kept = others.kept.iter().take(room).cloned().enumerate();
        self.kept.extend(others_kept.map(|(i, refused)| Refused {
            point: first + i,
            ..refused
        }));
        for (reason, count) in &others.by_reason {
            *self.by_reason.entry(reason).or_default() += count;
        }
        self.count += others.count;
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.by_reason.clear();
        self.count = 0;
    }
}

/// A decoded request. Points are numbered in the order in which they are met.
#[derive(Debug, Clone, Default)]
pub struct Points {
    batch: Batch,
    /// Number of the point, by series of the batch.
    origins: Vec<usize>,
    /// Texts of points with their marks, one after the other.
    texts: Vec<u8>,
    /// Series of the batch whose text is not known, each with where its text ends.
    news: Vec<(usize, usize)>,
    refusals: Refusals,
    count: usize,
    /// What is still to be made of metric names.
    names: Names,
}

impl Points {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is still to be made of the metric names, also after [`Points::clear`].
    pub(super) fn rename(&mut self, names: Names) {
        self.names = names;
    }

    /// What is still to be made of the metric names.
    pub(super) fn names(&self) -> Names {
        self.names
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.origins.clear();
        self.texts.clear();
        self.news.clear();
        self.refusals.clear();
        self.count = 0;
    }

    /// Adds a point of the series with these labels, `__name__` among them in any order; `t_ms` is
    /// in milliseconds.
    ///
    /// # Errors
    /// When the labels cannot be those of a series; the caller has it refused.
    #[inline]
    pub fn add(
        &mut self,
        labels: &mut Vec<(&str, &str)>,
        t_ms: i64,
        value: f64,
        limits: &LabelLimits,
    ) -> Result<(), Reason> {
        normalize(labels, limits).map_err(Reason::Series)?;
        self.batch.series(labels.iter().copied());
        self.batch.float(t_ms, value);
        self.origins.push(self.count);
        self.count += 1;
        Ok(())
    }

    /// Adds a point of the series with these labels and this metric name.
    ///
    /// # Errors
    /// As [`Points::add`].
    #[inline]
    pub(super) fn add_common(
        &mut self,
        common: &Common,
        name: &str,
        t_ms: i64,
        value: f64,
    ) -> Result<(), Reason> {
        if name.is_empty() {
            return Err(Reason::Series(LabelReason::NoMetricName));
        }
        if name.len() > common.name_bytes_max {
            return Err(Reason::Series(LabelReason::LabelValueTooLong));
        }
        let (before, behind) = common.encoded.split_at(common.name_at);
        self.batch
            .series_around(before, (METRIC_NAME, name), behind);
        self.batch.float(t_ms, value);
        self.origins.push(self.count);
        self.count += 1;
        Ok(())
    }

    /// Adds a point of a series that was named before.
    #[inline]
    pub(super) fn add_named(&mut self, named: NamedSeries<'_>, t_ms: i64, value: f64) {
        self.batch.known_encoded(named.series, named.labels);
        self.batch.float(t_ms, value);
        self.origins.push(self.count);
        self.count += 1;
    }

    /// Notes the text of the point that was added last, with its marks, so that it is known once the
    /// storage has taken it.
    pub(super) fn name(&mut self, text: &[u8]) {
        self.texts.extend_from_slice(text);
        self.news.push((self.batch.len() - 1, self.texts.len()));
    }

    /// True when there are texts to remember.
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Remembers the texts of points whose series the head calls `series`, by series of the batch.
    pub fn teach(&self, series: &[Option<SeriesRef>], named: &mut Named) {
        let mut from = 0;
        for (i, end) in &self.news {
            let text = &self.texts[from..*end];
            from = *end;
            if let Some(Some(series)) = series.get(*i) {
                named.learn(text, *series, self.batch.get(*i).labels);
            }
        }
    }

    /// Adds a point that is refused; `shown` tells what it looks like. Returns whether it was kept.
    #[cold]
    pub fn refuse(&mut self, reason: Reason, shown: impl FnOnce() -> String) -> bool {
        let point = self.count;
        self.count += 1;
        self.refusals.add(point, None, reason, shown)
    }

    /// Adds the points that another decoder refused, behind those met so far.
    pub fn refuse_all(&mut self, refusals: &Refusals) {
        self.refusals.append(refusals, self.count);
        self.count += refusals.len();
    }

    /// What may be stored.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The number of the point that became series `series` of the batch.
    pub fn origin(&self, series: usize) -> usize {
        self.origins[series]
    }

    /// What may not.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Points met, refused ones included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when no point was met.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Labels that points have in common, all but the metric name: they are judged and encoded once.
#[derive(Debug)]
pub(super) struct Common {
    encoded: String,
    /// Where the metric name belongs.
    name_at: usize,
    /// Bytes of a metric name.
    name_bytes_max: usize,
}

impl Common {
    /// Those of `labels`, in which the one at `name` is the metric name, whatever it says. Nothing when
    /// they are not the labels of a series as they are; what becomes of each point, [`Points::add`]
    /// says.
    pub(super) fn of(labels: &[(&str, &str)], name: usize, limits: &LabelLimits) -> Option<Self> {
        let mut series = labels.to_vec();
        series[name].1 = "_";
        normalize(&mut series, limits).ok()?;
        let is_kept = series.len() == labels.len() && labels.is_sorted_by(|a, b| a.0 < b.0);
        if !is_kept {
            return None;
        }
        let mut encoded = String::new();
        Labels::encode_sorted(labels[..name].iter().copied(), &mut encoded);
        let name_at = encoded.len();
        Labels::encode_sorted(labels[name + 1..].iter().copied(), &mut encoded);
        Some(Self {
            encoded,
            name_at,
            name_bytes_max: limits.value_bytes_max,
        })
    }
}

/// Labels as a refusal shows them.
pub(super) fn shown_labels<'a>(labels: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in labels {
        if text.len() > SHOWN_BYTES {
            break;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(&name[..name.floor_char_boundary(SHOWN_BYTES)]);
        text.push('=');
        model::labels::quote_into(&mut text, &value[..value.floor_char_boundary(SHOWN_BYTES)]);
    }
    text.push('}');
    text
}
