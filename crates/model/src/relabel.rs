//! Relabelling: rules that drop label sets or rewrite them, as Prometheus' `relabel_config`.
//!
//! [`RelabelConfig`] is what a user writes; [`RelabelRule`] is one that has been checked and
//! compiled.

mod config;

use std::borrow::Cow;

use md5::{Digest, Md5};

use crate::labels::{Labels, LabelsBuilder, NameScheme};
use crate::regex::{CaptureRegex, Regex, Template};
use crate::unicode::{to_lower, to_upper};

pub use config::{RelabelAction, RelabelConfig, RelabelError};

/// A checked and compiled relabelling rule.
#[derive(Debug, Clone)]
pub struct RelabelRule {
    source_labels: Box<[Box<str>]>,
    separator: Box<str>,
    step: Step,
}

/// What a rule does.
#[derive(Debug, Clone)]
enum Step {
    Replace(Replace),
    Keep(Regex),
    Drop(Regex),
    KeepEqual(Box<str>),
    DropEqual(Box<str>),
    HashMod {
        target: Box<str>,
        modulus: u64,
    },
    LabelMap {
        regex: CaptureRegex,
        replacement: Template,
    },
    LabelDrop(Regex),
    LabelKeep(Regex),
    Lowercase(Box<str>),
    Uppercase(Box<str>),
}

#[derive(Debug, Clone)]
struct Replace {
    regex: CaptureRegex,
    target: Template,
    replacement: Template,
    scheme: NameScheme,
    /// No regular expression was given and neither text has a reference: what an empty source
    /// value yields is known.
    constant: bool,
}

impl RelabelRule {
    /// Applies the rule to `labels`; false when it drops them.
    #[must_use]
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match &self.step {
            Step::Keep(regex) => regex.is_match(&self.source(labels)),
            Step::Drop(regex) => !regex.is_match(&self.source(labels)),
            Step::KeepEqual(target) => self.equals_source(labels, target),
            Step::DropEqual(target) => !self.equals_source(labels, target),
            _ => {
                self.rewrite(labels);
                true
            }
        }
    }

    fn rewrite(&self, labels: &mut LabelsBuilder) {
        match &self.step {
            Step::Replace(replace) => {
                let source = self.source(labels).into_owned();
                replace.apply(&source, labels);
            }
            Step::HashMod { target, modulus } => {
                let value = hash(&self.source(labels)) % modulus;
                labels.set(target, &value.to_string());
            }
            Step::Lowercase(target) => {
                let value = to_lower(&self.source(labels));
                labels.set(target, &value);
            }
            Step::Uppercase(target) => {
                let value = to_upper(&self.source(labels));
                labels.set(target, &value);
            }
            Step::LabelMap { regex, replacement } => map_names(regex, replacement, labels),
            Step::LabelDrop(regex) => drop(labels.retain(|name, _| !regex.is_match(name))),
            Step::LabelKeep(regex) => drop(labels.retain(|name, _| regex.is_match(name))),
            Step::Keep(_) | Step::Drop(_) | Step::KeepEqual(_) | Step::DropEqual(_) => {}
        }
    }

    /// The values of the source labels with the separator in between.
    fn source<'a>(&self, labels: &'a LabelsBuilder) -> Cow<'a, str> {
        let value = |name: &str| labels.get(name).unwrap_or_default();
        match &*self.source_labels {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(value(name)),
            [first, rest @ ..] => {
                let mut joined = value(first).to_owned();
                for name in rest {
                    joined.push_str(&self.separator);
                    joined.push_str(value(name));
                }
                Cow::Owned(joined)
            }
        }
    }

    fn equals_source(&self, labels: &LabelsBuilder, target: &str) -> bool {
        *self.source(labels) == *labels.get(target).unwrap_or_default()
    }
}

impl Replace {
    fn apply(&self, source: &str, labels: &mut LabelsBuilder) {
        if source.is_empty()
            && self.constant
            && let (Some(target), Some(value)) = (self.target.as_text(), self.replacement.as_text())
        {
            labels.set(target, value);
            return;
        }
        let Some(captures) = self.regex.captures(source) else {
            return;
        };
        let target = self.target.expand(&captures);
        if self.scheme.is_valid_label_name(&target) {
            labels.set(&target, &self.replacement.expand(&captures));
        }
    }
}

fn map_names(regex: &CaptureRegex, replacement: &Template, labels: &mut LabelsBuilder) {
    let mapped = |(name, value): (&str, &str)| {
        let new_name = replacement.expand(&regex.captures(name)?).into_owned();
        // No label can have an empty name.
        (!new_name.is_empty()).then(|| (new_name, value.to_owned()))
    };
    let mapped: Vec<_> = labels.iter().filter_map(mapped).collect();
    labels.extend(mapped);
}

/// The number that `hashmod` divides: the last eight bytes of the MD5 sum.
fn hash(value: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(value.as_bytes()).into();
    u128::from_be_bytes(sum) as u64
}

/// Applies rules in order; false as soon as one drops the labels.
#[must_use]
pub fn relabel(rules: &[RelabelRule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// The labels after all rules, or `None` when one drops them.
pub fn relabelled(rules: &[RelabelRule], labels: &Labels) -> Option<Labels> {
    let mut builder = LabelsBuilder::from_labels(labels);
    relabel(rules, &mut builder).then(|| builder.labels())
}

#[cfg(test)]
mod tests;
