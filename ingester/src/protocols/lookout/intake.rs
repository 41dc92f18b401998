//! The gateway's rules, for whatever was sent to it: names and tags are made what Lookout queries,
//! the sender's address and the tags of the request are added, times are aligned, and what the
//! gateway drops is dropped, but counted.

use std::borrow::Cow;

use model::labels::METRIC_NAME;

use super::limits::{self, STEP_DEFAULT_MS};
use super::{Options, Profile};
use crate::exposition::Pair;
use crate::protocols::names::{Names, lookout_metric, lookout_tag_value, tag_key};
use crate::protocols::points::{Common, Points, Reason, shown_labels};
use crate::receive::Reason as LabelReason;

/// A step beyond this many seconds is said in milliseconds: Lookout's documentation mixes them up.
const STEP_SECONDS_MAX: i64 = 3600;
/// Bytes that the labels of one request may come to. The tags of a record hold for each of its
/// values, so a request may say in little what is very much.
const EXPANDED_BYTES_MAX: usize = 256 << 20;

/// To what a request's times are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(i64);

impl Step {
    /// Times stay as they are.
    pub const NONE: Self = Self(1);

    /// What a request has that says none.
    pub const DEFAULT: Self = Self(STEP_DEFAULT_MS);

    /// The step that a request says, in seconds; -1 for none.
    ///
    /// # Errors
    /// When it is not a whole number.
    pub fn parse(text: &str) -> Result<Self, std::num::ParseIntError> {
        let said: i64 = text.trim().parse()?;
        Ok(match said {
            -1 => Self::NONE,
            ..1 => Self::DEFAULT,
            1..=STEP_SECONDS_MAX => Self(said * 1000),
            _ => Self(said),
        })
    }

    /// The beginning of the step that a time is in.
    pub fn align(self, t_ms: i64) -> i64 {
        t_ms.saturating_sub(t_ms.rem_euclid(self.0))
    }
}

/// What a request adds to each of its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The sender's address, when it is known.
    pub ip: Option<String>,
    /// Tags of the request, which replace none of a metric; `step` is not among them.
    pub tags: Vec<(String, String)>,
    /// To what times are aligned.
    pub step: Step,
    /// When the request arrived.
    pub now_ms: i64,
}

/// Takes metrics by the gateway's rules.
#[derive(Debug)]
pub struct Intake<'r> {
    options: &'r Options,
    /// What becomes of metric names here, whatever the options say.
    names: Names,
    now_ms: i64,
    step: Step,
    /// Labels that are added where a metric has none of that name, as they are stored.
    added: Vec<Pair<'r>>,
    expanded: usize,
    /// What was taken, and what not.
    pub points: Points,
}

impl<'r> Intake<'r> {
    /// Takes metrics of a request; `names` is what becomes of theirs, whatever the options say.
    pub fn new(options: &'r Options, names: Names, origin: &'r Origin) -> Self {
        let ip = origin.ip.as_deref().map(|ip| ("ip", ip));
        let tags = origin.tags.iter();
        let tags = tags.map(|(key, value)| (key.as_str(), value.as_str()));
        // Of two tags with one name the first counts, as none replaces another.
        let mut added: Vec<Pair<'_>> = Vec::new();
        for (key, value) in ip.into_iter().chain(tags) {
            let key = tag_key(key);
            if added.iter().all(|(known, _)| *known != key) {
                added.push((key, tag_value(value, options.profile)));
            }
        }
        let step = if options.align {
            origin.step
        } else {
            Step::NONE
        };
        Self {
            options,
            names,
            now_ms: origin.now_ms,
            step,
            added,
            expanded: 0,
            points: Points::new(),
        }
    }

    /// When the request arrived.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Notes a point that is none.
    #[cold]
    pub fn refuse(&mut self, reason: Reason, shown: &str) {
        self.points.refuse(reason, || shown.to_owned());
    }

    /// Begins metrics with these tags, which are any text; more of one name may be there, and the
    /// last one counts.
    pub fn tagged<'t>(&self, tags: impl IntoIterator<Item = Pair<'t>>, into: &mut Tags<'t>)
    where
        'r: 't,
    {
        let tags = tags.into_iter();
        let pairs = tags.map(|(key, value)| {
            let value = changed(value, |value| tag_value(value, self.options.profile));
            (changed(key, tag_key), value)
        });
        into.pairs.clear();
        into.pairs.extend(pairs);
        into.sort();
        for (key, value) in &self.added {
            let at = into.pairs.binary_search_by(|(known, _)| known.cmp(key));
            if let Err(at) = at {
                into.pairs.insert(at, (key.clone(), value.clone()));
            }
        }
        into.refused = self.check_keys(into.pairs.iter().map(|(key, _)| &**key));
        into.bytes = bytes_of(&into.pairs);
    }

    /// Begins metrics with these tags, as [`Intake::tagged`] and [`Intake::at`] do, if nothing of them
    /// has to be changed; those without a value are left out. False otherwise, and when one is there
    /// twice.
    pub fn plain<'t>(
        &self,
        tags: impl Iterator<Item = (&'t str, &'t str)>,
        into: &mut Vec<(&'t str, &'t str)>,
    ) -> bool
    where
        'r: 't,
    {
        into.clear();
        for (key, value) in tags.filter(|(_, value)| !value.is_empty()) {
            let value = tag_value(value, self.options.profile);
            let (Cow::Borrowed(key), Cow::Borrowed(value)) = (tag_key(key), value) else {
                return false;
            };
            into.push((key, value));
        }
        into.sort_unstable_by_key(|(key, _)| *key);
        if into.array_windows().any(|[(a, _), (b, _)]| a == b) {
            return false;
        }
        for added in &self.added {
            let (Cow::Borrowed(key), Cow::Borrowed(value)) = added else {
                return false;
            };
            if let Err(at) = into.binary_search_by_key(key, |(key, _)| *key) {
                into.insert(at, (*key, *value));
            }
        }
        // Without a value it counts as a tag, and is no label.
        into.iter().all(|(_, value)| !value.is_empty())
    }

    fn check_keys<'k>(&self, mut keys: impl ExactSizeIterator<Item = &'k str>) -> Option<Reason> {
        if self.options.profile == Profile::Lookout {
            return limits::check_keys(keys);
        }
        let has_nameless = keys.any(str::is_empty);
        has_nameless.then_some(Reason::Series(LabelReason::EmptyLabelName))
    }

    /// The name of a metric as it is stored, of any text.
    pub fn name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match lookout_metric(name) {
            Cow::Borrowed(name) => self.names.metric(name),
            Cow::Owned(name) => Cow::Owned(self.names.metric(&name).into_owned()),
        }
    }

    /// The name of a metric that the gateway does not touch.
    pub fn kept_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        self.names.metric(name)
    }

    /// Whether a name of so many bytes may be one at all, before it is put together.
    pub fn may_be_name(&self, bytes: usize) -> bool {
        let max = match self.options.profile {
            Profile::Lookout => limits::NAME_MAX,
            Profile::General => self.options.labels.value_bytes_max,
        };
        // A character has at most four bytes, and becomes one.
        bytes / 4 <= max
    }

    /// Takes metrics with these tags at a time, which is aligned.
    pub fn at<'i, 't>(&'i mut self, tags: &'t Tags<'_>, t_ms: i64) -> Series<'i, 'r, 't> {
        let mut labels = Vec::with_capacity(tags.pairs.len() + 1);
        let pairs = tags.pairs.iter().map(|(key, value)| (&**key, &**value));
        // A label without a value is none for us.
        labels.extend(pairs.filter(|(_, value)| !value.is_empty()));
        self.series(labels, (tags.refused, tags.bytes), t_ms)
    }

    /// As [`Intake::at`], of what [`Intake::plain`] made.
    pub fn plain_at<'i, 't>(
        &'i mut self,
        tags: Vec<(&'t str, &'t str)>,
        t_ms: i64,
    ) -> Series<'i, 'r, 't> {
        let refused = self.check_keys(tags.iter().map(|(key, _)| *key));
        let bytes = bytes_of(&tags);
        self.series(tags, (refused, bytes), t_ms)
    }

    fn series<'i, 't>(
        &'i mut self,
        mut labels: Vec<(&'t str, &'t str)>,
        (refused, bytes): (Option<Reason>, usize),
        t_ms: i64,
    ) -> Series<'i, 'r, 't> {
        let t_ms = self.step.align(t_ms);
        let expired =
            self.options.profile == Profile::Lookout && limits::is_expired(t_ms, self.now_ms);
        let name_at = labels.partition_point(|(key, _)| *key < METRIC_NAME);
        labels.insert(name_at, (METRIC_NAME, ""));
        Series {
            refused: refused.or(expired.then_some(Reason::Expired)),
            bytes,
            intake: self,
            labels,
            name_at,
            common: None,
            t_ms,
        }
    }
}

/// What labels count in what a request comes to.
fn bytes_of<T: AsRef<str>>(labels: &[(T, T)]) -> usize {
    let each = labels.iter();
    each.map(|(k, v)| k.as_ref().len() + v.as_ref().len() + 2)
        .sum()
}

/// Tags as they are stored. Its memory is kept from one use to the next.
#[derive(Debug, Clone, Default)]
pub struct Tags<'t> {
    /// By key, each once; values may be empty.
    pairs: Vec<Pair<'t>>,
    /// Why nothing may have them.
    refused: Option<Reason>,
    bytes: usize,
}

impl Tags<'_> {
    /// Puts them in order, the last of each key.
    fn sort(&mut self) {
        if self.pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return;
        }
        // From the last to the first, since the first of equal keys stays.
        self.pairs.reverse();
        self.pairs.sort_by(|a, b| a.0.cmp(&b.0));
        self.pairs.dedup_by(|a, b| a.0 == b.0);
    }
}

/// Metrics of one time with the same tags.
#[derive(Debug)]
pub struct Series<'i, 'r, 't> {
    intake: &'i mut Intake<'r>,
    labels: Vec<(&'t str, &'t str)>,
    name_at: usize,
    /// The labels, encoded, when many metrics are to have them.
    common: Option<Common>,
    t_ms: i64,
    bytes: usize,
    refused: Option<Reason>,
}

impl<'t> Series<'_, '_, 't> {
    /// Prepares for more than one metric.
    pub fn prepare(&mut self) {
        let limits = &self.intake.options.labels;
        self.common = Common::of(&self.labels, self.name_at, limits);
    }

    /// Takes a metric whose name is as it is stored.
    #[inline]
    pub fn take(&mut self, name: &'t str, value: Result<f64, Reason>) {
        self.labels[self.name_at].1 = name;
        if let Err(reason) = value.and_then(|value| self.try_take(name, value)) {
            self.refuse(reason, name);
        }
    }

    /// Its labels, for their memory.
    pub fn into_labels(self) -> Vec<(&'t str, &'t str)> {
        self.labels
    }

    /// Notes a metric that is none.
    #[cold]
    pub fn refuse(&mut self, reason: Reason, name: &'t str) {
        self.labels[self.name_at].1 = name;
        let labels = &self.labels;
        self.intake.points.refuse(reason, || shown_labels(labels));
    }

    #[inline]
    fn try_take(&mut self, name: &str, value: f64) -> Result<(), Reason> {
        if let Some(reason) = self.refused {
            return Err(reason);
        }
        if self.intake.options.profile == Profile::Lookout && limits::is_name_too_long(name) {
            return Err(Reason::NameTooLong);
        }
        let bytes = self.bytes + name.len();
        if self.intake.expanded + bytes > EXPANDED_BYTES_MAX {
            return Err(Reason::Expanded);
        }
        self.intake.expanded += bytes;
        let (points, limits) = (&mut self.intake.points, &self.intake.options.labels);
        match &self.common {
            Some(common) => points.add_common(common, name, self.t_ms, value),
            None => points.add(&mut self.labels, self.t_ms, value, limits),
        }
    }
}

/// Text with a change that leaves most text as it is.
#[inline]
fn changed(text: Cow<'_, str>, change: impl Fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => change(text),
        Cow::Owned(text) => Cow::Owned(change(&text).into_owned()),
    }
}

/// The value of a tag as it is stored.
#[inline]
fn tag_value(value: &str, profile: Profile) -> Cow<'_, str> {
    match profile {
        Profile::General => lookout_tag_value(value),
        Profile::Lookout => limits::cut_value(lookout_tag_value(value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_tags_are_taken_as_any_others(
            tags in proptest::collection::vec(("[A-Za-c]{0,2}", "[a-cé]{0,2}"), 0..5),
            ip in "[0-9]{0,2}",
            name in "[a-cA.]{0,3}",
            is_lookout in any::<bool>(),
        ) {
            let profile = if is_lookout { Profile::Lookout } else { Profile::General };
            let options = Options { profile, ..Options::default() };
            let origin = Origin { ip: Some(ip), tags: Vec::new(), step: Step::NONE, now_ms: 7 };
            let filled = || {
                let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                tags.filter(|(_, value)| !value.is_empty())
            };
            let intake = || Intake::new(&options, Names::Keep, &origin);
            let (mut quick, mut slow) = (intake(), intake());
            let mut plain = Vec::new();
            if !quick.plain(filled(), &mut plain) {
                return Ok(());
            }
            quick.plain_at(plain, 5).take(&name, Ok(1.5));
            let mut tags = Tags::default();
            slow.tagged(filled().map(|(key, value)| (key.into(), value.into())), &mut tags);
            slow.at(&tags, 5).take(&name, Ok(1.5));
            let labels = |intake: &Intake<'_>| -> Vec<_> {
                intake.points.batch().iter().map(|series| series.labels.to_owned()).collect()
            };
            prop_assert_eq!(labels(&quick), labels(&slow));
            prop_assert_eq!(quick.points.refusals(), slow.points.refusals());
            prop_assert_eq!(quick.expanded, slow.expanded);
        }
    }

    #[test]
    fn steps_are_seconds_unless_they_cannot_be() {
        for (text, t, aligned) in [
            ("10", 1_795_226_437_123, 1_795_226_430_000),
            ("60", 1_795_226_437_123, 1_795_226_400_000),
            ("10000", 1_795_226_437_123, 1_795_226_430_000),
            ("-1", 1_795_226_437_123, 1_795_226_437_123),
            ("0", 1_795_226_437_123, 1_795_226_430_000),
            ("1", -1, -1000),
            ("10", i64::MIN, i64::MIN),
        ] {
            assert_eq!(Step::parse(text).unwrap().align(t), aligned, "{text}");
        }
        for text in ["", "x", "1.5", "10s"] {
            assert!(Step::parse(text).is_err(), "{text}");
        }
    }
}
