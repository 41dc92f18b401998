//! The rules of one metric family: its metadata, its suffixes, its samples in their order.

use std::collections::HashSet;

use super::histogram::Buckets;
use crate::exposition::{Exemplar, MetricType, SampleEntry, number};

/// Characters, not bytes, that names and values of an exemplar's labels may have together.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Sorted labels, owned; identifies a series or a group of series.
pub(super) type LabelKey = Vec<(String, String)>;

/// A family while its lines are read.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    metric_type: Option<MetricType>,
    has_help: bool,
    unit: Option<String>,
    has_samples: bool,
    /// The group that the last sample belonged to.
    group: Option<Group>,
    groups_seen: HashSet<LabelKey>,
    buckets: Buckets,
}

/// Samples that belong together: those of one histogram, for one.
#[derive(Debug)]
struct Group {
    key: LabelKey,
    seconds: Option<f64>,
    /// Series met since the group began.
    series: HashSet<(String, LabelKey)>,
}

/// Suffixes that samples of a family of each type have.
fn suffixes(t: Option<MetricType>) -> &'static [&'static str] {
    match t {
        Some(MetricType::Counter) => &["_total", "_created"],
        Some(MetricType::Summary) => &["", "_count", "_sum", "_created"],
        Some(MetricType::Histogram) => &["_count", "_sum", "_bucket", "_created"],
        Some(MetricType::GaugeHistogram) => &["_gcount", "_gsum", "_bucket"],
        Some(MetricType::Info) => &["_info"],
        Some(MetricType::Gauge | MetricType::StateSet | MetricType::Unknown) | None => &[""],
    }
}

fn once(already: bool, keyword: &str) -> Result<(), String> {
    if already {
        return Err(format!("a family has one {keyword} line"));
    }
    Ok(())
}

fn require(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

impl Family {
    pub(super) fn new(name: &str, metric_type: Option<MetricType>) -> Self {
        Self {
            name: name.to_owned(),
            metric_type,
            has_help: false,
            unit: None,
            has_samples: false,
            group: None,
            groups_seen: HashSet::new(),
            buckets: Buckets::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_samples(&self) -> bool {
        self.has_samples
    }

    pub(super) fn set_type(&mut self, t: MetricType) -> Result<(), String> {
        once(self.metric_type.is_some(), "TYPE")?;
        self.metric_type = Some(t);
        Ok(())
    }

    pub(super) fn set_help(&mut self) -> Result<(), String> {
        once(self.has_help, "HELP")?;
        self.has_help = true;
        Ok(())
    }

    pub(super) fn set_unit(&mut self, unit: &str) -> Result<(), String> {
        once(self.unit.is_some(), "UNIT")?;
        self.unit = Some(unit.to_owned());
        Ok(())
    }

    /// True when a sample called `name` belongs to this family.
    pub(super) fn allows(&self, name: &str) -> bool {
        name.strip_prefix(self.name.as_str())
            .is_some_and(|suffix| suffixes(self.metric_type).contains(&suffix))
    }

    /// Every name that no other family may have.
    pub(super) fn names(&self) -> Vec<String> {
        let suffixes = suffixes(self.metric_type);
        let bare = (!suffixes.contains(&"")).then_some("");
        suffixes
            .iter()
            .copied()
            .chain(bare)
            .map(|suffix| format!("{}{suffix}", self.name))
            .collect()
    }

    /// The rules that only the whole family shows.
    pub(super) fn finish(self) -> Result<(), String> {
        let unit = self.unit.unwrap_or_default();
        let unitless = matches!(
            self.metric_type,
            Some(MetricType::Info | MetricType::StateSet)
        );
        require(
            unit.is_empty() || !unitless,
            "families of type info and stateset have no unit",
        )?;
        self.buckets.finish()
    }

    /// Takes a sample that [`allows`](Self::allows) admitted.
    pub(super) fn sample(
        &mut self,
        name: &str,
        sample: &SampleEntry<'_, '_>,
    ) -> Result<(), String> {
        self.has_samples = true;
        require(
            !sample.series.trailing_comma,
            "no comma may follow the last label",
        )?;
        let mut labels: LabelKey = sample
            .series
            .labels
            .iter()
            .map(|l| {
                (
                    l.name.unescape().into_owned(),
                    l.value.unescape().into_owned(),
                )
            })
            .collect();
        labels.sort();
        require(
            labels.windows(2).all(|w| w[0].0 != w[1].0),
            "label names must be unique",
        )?;

        let suffix = name[self.name.len()..].to_owned();
        self.check_labels(&suffix, &labels, sample.reading.value)?;
        let key = self.group_key(&suffix, &labels);
        let repeated = self.enter_group(key, (name.to_owned(), labels.clone()), sample.seconds)?;
        if self.is_histogram() && !repeated {
            let group = self.group.as_ref().expect("entered above");
            self.buckets.add(
                &group.key,
                sample.seconds,
                &suffix,
                &labels,
                sample.reading.value,
            )?;
        }
        self.check_value(&suffix, sample.reading.value)?;
        match &sample.reading.exemplar {
            Some(exemplar) => self.check_exemplar(&suffix, exemplar),
            None => Ok(()),
        }
    }

    fn is_histogram(&self) -> bool {
        matches!(
            self.metric_type,
            Some(MetricType::Histogram | MetricType::GaugeHistogram)
        )
    }

    /// The label that tells the samples of one group apart, if samples with this suffix have one.
    fn distinguishing_label(&self, suffix: &str) -> Option<&str> {
        match (self.metric_type, suffix) {
            (Some(MetricType::Summary), "") => Some("quantile"),
            (Some(MetricType::StateSet), _) => Some(&self.name),
            (Some(MetricType::Histogram | MetricType::GaugeHistogram), "_bucket") => Some("le"),
            _ => None,
        }
    }

    fn check_labels(
        &self,
        suffix: &str,
        labels: &[(String, String)],
        value: f64,
    ) -> Result<(), String> {
        if let Some(wanted) = self.distinguishing_label(suffix) {
            let found = labels.iter().find(|(n, _)| n == wanted).map(|(_, v)| v);
            let Some(found) = found else {
                return Err(format!("the label {wanted:?} is missing"));
            };
            let number = number::parse_value(found.as_bytes());
            let canonical = number.is_none_or(|n| n != f64::INFINITY) || found == "+Inf";
            let fits = match wanted {
                "le" => canonical && number.is_some_and(|n| !n.is_nan()),
                "quantile" => canonical && number.is_some_and(|n| (0.0..=1.0).contains(&n)),
                _ => true,
            };
            if !fits {
                return Err(format!("{found:?} cannot be the value of {wanted:?}"));
            }
        }
        let whole = matches!(suffix, "_bucket" | "_count" | "_gcount");
        require(
            !whole || value.is_nan() || value.fract() == 0.0 || value.is_infinite(),
            "counts must be whole numbers",
        )
    }

    fn group_key(&self, suffix: &str, labels: &[(String, String)]) -> LabelKey {
        if self.metric_type == Some(MetricType::Info) {
            return Vec::new();
        }
        let left_out = self.distinguishing_label(suffix);
        labels
            .iter()
            .filter(|(n, _)| Some(n.as_str()) != left_out)
            .cloned()
            .collect()
    }

    /// Goes on with the open group or opens another; true when the series was there already at
    /// the same time, which finer timestamps than ours can make of distinct samples.
    fn enter_group(
        &mut self,
        key: LabelKey,
        series: (String, LabelKey),
        seconds: Option<f64>,
    ) -> Result<bool, String> {
        let info = self.metric_type == Some(MetricType::Info);
        match &mut self.group {
            Some(group) if group.key == key => {
                require(
                    group.seconds.is_some() == seconds.is_some(),
                    "either all or no samples of a group have a timestamp",
                )?;
                require(
                    info || group.seconds <= seconds,
                    "timestamps within a group must not go backwards",
                )?;
                let same_time = group.seconds == seconds;
                group.seconds = seconds;
                Ok(!group.series.insert(series) && same_time)
            }
            group => {
                require(
                    self.groups_seen.insert(key.clone()),
                    "samples of one group must stand together",
                )?;
                *group = Some(Group {
                    key,
                    seconds,
                    series: HashSet::from([series]),
                });
                Ok(false)
            }
        }
    }

    fn check_value(&self, suffix: &str, value: f64) -> Result<(), String> {
        let counts = ["_total", "_sum", "_count", "_bucket", "_gcount"].contains(&suffix);
        require(
            !((counts || suffix == "_gsum") && value.is_nan()),
            "a count or sum must not be NaN",
        )?;
        require(
            !(counts && value < 0.0),
            "a count or sum must not be negative",
        )?;
        match self.metric_type {
            Some(MetricType::StateSet) => require(
                value == 0.0 || value == 1.0,
                "the value of a state is 0 or 1",
            ),
            Some(MetricType::Info) => require(value == 1.0, "the value of an info is 1"),
            Some(MetricType::Summary) if suffix.is_empty() => require(
                value.is_nan() || value >= 0.0,
                "a quantile must not be negative",
            ),
            _ => Ok(()),
        }
    }

    fn check_exemplar(&self, suffix: &str, exemplar: &Exemplar<'_, '_>) -> Result<(), String> {
        let allowed = self.is_histogram() && suffix == "_bucket"
            || self.metric_type == Some(MetricType::Counter) && suffix == "_total";
        require(allowed, "only buckets and counters have exemplars")?;
        let chars: usize = exemplar
            .labels
            .iter()
            .flat_map(|l| [l.name, l.value])
            .map(|s| s.unescape().chars().count())
            .sum();
        if chars > EXEMPLAR_CHARS_MAX {
            return Err(format!(
                "labels of an exemplar have at most {EXEMPLAR_CHARS_MAX} characters, these have {chars}"
            ));
        }
        Ok(())
    }
}
