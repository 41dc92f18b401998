//! The pipeline's file: what happens to points between a receiver and the storage.
//!
//! ```yaml
//! all:
//!   before: [{action: drop, source_labels: [__name__], regex: 'debug\..*'}]
//! receivers:
//!   opentsdb:
//!     after: [{action: labeldrop, regex: host_id}]
//!     limits: {points_per_second: 50000, series: 100000}
//!     tenants:
//!       acme: {points_per_second: 500}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use model::labels::NameScheme;
use model::relabel::RelabelConfig;

use super::yaml::{self, Node, Section};
use super::{Error, read, relabel};

/// Why the file cannot be used: as [`Error`], with the column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError(Error);

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { at, reason, file } = &self.0;
        if let Some(file) = file {
            write!(f, "{}: ", file.display())?;
        }
        if at.line > 0 {
            write!(f, "line {}, column {}: ", at.line, at.column)?;
        }
        f.write_str(reason)
    }
}

impl std::error::Error for PipelineError {}

/// Limits that are said; what is not said is as the flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SaidLimits {
    /// Points a second of a tenant; 0 for any number.
    pub points_per_second: Option<u64>,
    /// Bytes of a request when decompressed.
    pub decompressed_bytes: Option<u64>,
    /// Labels of a series.
    pub labels: Option<u64>,
    /// Bytes of a label's name.
    pub label_name_bytes: Option<u64>,
    /// Bytes of a label's value.
    pub label_value_bytes: Option<u64>,
    /// Series that a tenant may send points of within about an hour.
    pub series: Option<u64>,
}

impl SaidLimits {
    /// These where they are said, otherwise those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            points_per_second: self.points_per_second.or(other.points_per_second),
            decompressed_bytes: self.decompressed_bytes.or(other.decompressed_bytes),
            labels: self.labels.or(other.labels),
            label_name_bytes: self.label_name_bytes.or(other.label_name_bytes),
            label_value_bytes: self.label_value_bytes.or(other.label_value_bytes),
            series: self.series.or(other.series),
        }
    }
}

/// What is said about one receiver, or about all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stage {
    /// Rules for points as their decoder names them.
    pub before: Vec<RelabelConfig>,
    /// Rules for series as they will be stored.
    pub after: Vec<RelabelConfig>,
    /// Limits.
    pub limits: SaidLimits,
    /// Limits of single tenants.
    pub tenants: BTreeMap<String, SaidLimits>,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipelineConfig {
    /// For every receiver.
    pub all: Stage,
    /// By name of the receiver.
    pub receivers: BTreeMap<String, Stage>,
}

impl PipelineConfig {
    /// Reads `file`. Receivers are those whose names are in `known`.
    ///
    /// # Errors
    /// When it cannot be read or is wrong, with the place.
    pub fn load(file: &Path, known: &[&str]) -> Result<Self, PipelineError> {
        let parsed = read(file).and_then(|text| parse(&text, known));
        parsed.map_err(|error| PipelineError(error.in_file(file)))
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// When it is wrong, with the place.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, PipelineError> {
        parse(text, known).map_err(PipelineError)
    }
}

fn parse(text: &str, known: &[&str]) -> Result<PipelineConfig, Error> {
    let root = yaml::parse(text)?;
    let mut section = root.section("pipeline")?;
    let mut config = PipelineConfig::default();
    section.set("all", &mut config.all, stage)?;
    if let Some(receivers) = section.field("receivers") {
        for (name, node) in receivers.map()? {
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                let reason = format!("there is no receiver {name:?}; there are {known}");
                return Err(Error::at(node.at, reason));
            }
            config.receivers.insert(name.clone(), stage(node)?);
        }
    }
    section.finish()?;
    Ok(config)
}

fn stage(node: &Node) -> Result<Stage, Error> {
    let mut section = node.section("stage")?;
    let rules = |node: &Node| relabel::rules(node, NameScheme::Utf8);
    let mut stage = Stage::default();
    section.set("before", &mut stage.before, rules)?;
    section.set("after", &mut stage.after, rules)?;
    section.set("limits", &mut stage.limits, limits)?;
    if let Some(tenants) = section.field("tenants") {
        for (name, node) in tenants.map()? {
            stage.tenants.insert(name.clone(), limits(node)?);
        }
    }
    section.finish()?;
    Ok(stage)
}

fn limits(node: &Node) -> Result<SaidLimits, Error> {
    let mut section = node.section("limits")?;
    let limits = SaidLimits {
        points_per_second: section.optional("points_per_second", Node::unsigned)?,
        decompressed_bytes: positive(&mut section, "decompressed_bytes", Node::bytes)?,
        labels: positive(&mut section, "labels", Node::unsigned)?,
        label_name_bytes: positive(&mut section, "label_name_bytes", Node::unsigned)?,
        label_value_bytes: positive(&mut section, "label_value_bytes", Node::unsigned)?,
        series: positive(&mut section, "series", Node::unsigned)?,
    };
    section.finish()?;
    Ok(limits)
}

/// A field that nothing could be sent with if it were 0.
fn positive(
    section: &mut Section<'_>,
    name: &str,
    read: impl Fn(&Node) -> Result<u64, Error>,
) -> Result<Option<u64>, Error> {
    section.optional(name, |node| match read(node)? {
        0 => Err(Error::at(node.at, format!("{name} must not be 0"))),
        value => Ok(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["opentsdb", "remote_write"];

    #[test]
    fn stages_have_rules_and_limits() {
        let config = PipelineConfig::parse(
            concat!(
                "all:\n  before:\n  - {action: drop, source_labels: [__name__], regex: 'x.*'}\n",
                "receivers:\n  opentsdb:\n    after: [{action: labeldrop, regex: h}]\n",
                "    limits: {points_per_second: 0, decompressed_bytes: 1MB, series: 7}\n",
                "    tenants: {acme: {labels: 3}}\n",
            ),
            &KNOWN,
        )
        .unwrap();
        assert_eq!((config.all.before.len(), config.all.after.len()), (1, 0));
        let stage = &config.receivers["opentsdb"];
        assert_eq!(stage.after.len(), 1);
        let acme = stage.tenants["acme"].or(stage.limits);
        assert_eq!((acme.labels, acme.series), (Some(3), Some(7)));
        assert_eq!(acme.points_per_second, Some(0));
        assert_eq!(acme.decompressed_bytes, Some(1 << 20));
        let empty = PipelineConfig::parse("", &KNOWN).unwrap();
        assert_eq!(empty, PipelineConfig::default());
    }

    #[test]
    fn errors_tell_line_and_column() {
        for (text, expected) in [
            (
                "all:\n  before:\n  - {action: hashmod, target_label: a}\n",
                "line 3, column 5: relabel configuration for hashmod requires non-zero modulus",
            ),
            (
                "receivers:\n  carbon: {}\n",
                "line 2, column 11: there is no receiver \"carbon\"; there are opentsdb, remote_write",
            ),
            (
                "all: {limits: {series: 0}}",
                "line 1, column 24: series must not be 0",
            ),
            (
                "all:\n  befor: []\n",
                "line 2, column 10: field befor not found in type stage",
            ),
        ] {
            let error = PipelineConfig::parse(text, &KNOWN).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let broken = PipelineConfig::parse("all: [", &KNOWN).unwrap_err();
        assert!(
            broken.to_string().starts_with("line 1, column "),
            "{broken}"
        );
    }
}
