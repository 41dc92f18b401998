//! Relabelling rules as users write them, and what is wrong with some of them.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use super::{RelabelRule, Replace, Step};
use crate::labels::{NameScheme, quoted};
use crate::regex::{CaptureRegex, Regex, RegexError, Template};

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

/// What a relabelling rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RelabelAction {
    /// Sets the target label to the replacement if the expression matches the source value.
    #[default]
    Replace,
    /// Drops what the expression does not match.
    Keep,
    /// Drops what the expression matches.
    Drop,
    /// Drops what has a target label that differs from the source value.
    KeepEqual,
    /// Drops what has a target label that equals the source value.
    DropEqual,
    /// Sets the target label to a hash of the source value, modulo `modulus`.
    HashMod,
    /// Copies labels whose names match to the name that the replacement gives.
    LabelMap,
    /// Deletes labels whose names match.
    LabelDrop,
    /// Deletes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source value in lower case.
    Lowercase,
    /// Sets the target label to the source value in upper case.
    Uppercase,
}

impl RelabelAction {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Replace, "replace"),
        (Self::Keep, "keep"),
        (Self::Drop, "drop"),
        (Self::KeepEqual, "keepequal"),
        (Self::DropEqual, "dropequal"),
        (Self::HashMod, "hashmod"),
        (Self::LabelMap, "labelmap"),
        (Self::LabelDrop, "labeldrop"),
        (Self::LabelKeep, "labelkeep"),
        (Self::Lowercase, "lowercase"),
        (Self::Uppercase, "uppercase"),
    ];

    /// The action as configuration names it.
    pub fn as_str(self) -> &'static str {
        let named = Self::ALL.iter().find(|(action, _)| *action == self);
        named.map_or("", |(_, name)| name)
    }
}

impl fmt::Display for RelabelAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RelabelAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let lower = name.to_lowercase();
        let known = Self::ALL.iter().find(|(_, known)| *known == lower);
        known
            .map(|(action, _)| *action)
            .ok_or_else(|| D::Error::custom(format!("unknown relabel action {}", quoted(&name))))
    }
}

/// A relabelling rule as written; what is absent has Prometheus' default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelabelConfig {
    /// Labels whose values, joined by the separator, are the source value.
    pub source_labels: Option<Vec<String>>,
    /// What is put between source values; `;`.
    #[serde(deserialize_with = "scalar")]
    pub separator: Option<String>,
    /// Expression that the source value or the label names have to match; `(.*)`.
    #[serde(deserialize_with = "scalar")]
    pub regex: Option<String>,
    /// What `hashmod` takes the hash modulo of.
    pub modulus: Option<u64>,
    /// Label that is set; for `replace` it may refer to groups of the expression.
    #[serde(deserialize_with = "scalar")]
    pub target_label: Option<String>,
    /// New value, or new name for `labelmap`, which may refer to groups of the expression; `$1`.
    #[serde(deserialize_with = "scalar")]
    pub replacement: Option<String>,
    /// What the rule does.
    pub action: RelabelAction,
}

/// Why a relabelling rule is refused, in Prometheus' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelabelError {
    /// The expression is wrong.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// A source label has a name that no label can have.
    #[error("{} is not a valid label name", quoted(.0))]
    SourceLabel(String),
    /// `hashmod` without a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    Modulus,
    /// The action sets a label and the rule does not say which.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    TargetMissing(RelabelAction),
    /// A field has a value that the action cannot use.
    #[error("{} is invalid '{field}' for {action} action", quoted(.value))]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The action.
        action: RelabelAction,
    },
    /// A replacement for an action that makes its own.
    #[error("'replacement' can not be set for {0} action")]
    Replacement(RelabelAction),
    /// A field that the action has no use for.
    #[error("{action} action requires only {fields}, and no other fields")]
    OtherFields {
        /// The action.
        action: RelabelAction,
        /// The fields that it uses.
        fields: &'static str,
    },
}

impl RelabelConfig {
    /// Checks and compiles the rule for label names of `scheme`.
    ///
    /// # Errors
    /// When a field is wrong, or missing, or given to an action that has no use for it.
    pub fn compile(&self, scheme: NameScheme) -> Result<RelabelRule, RelabelError> {
        use RelabelAction as A;

        self.check_source_and_target(scheme)?;
        self.check_unused()?;
        let pattern = self.regex.as_deref().unwrap_or(DEFAULT_REGEX);
        let replacement = self.replacement.as_deref().unwrap_or(DEFAULT_REPLACEMENT);
        let target = self.target_label.as_deref().unwrap_or_default();
        let step = match self.action {
            A::Replace => Step::Replace(Replace {
                regex: CaptureRegex::new(pattern)?,
                target: Template::new(target),
                replacement: Template::new(replacement),
                scheme,
                constant: self.regex.is_none()
                    && !target.contains('$')
                    && !replacement.contains('$'),
            }),
            A::Keep => Step::Keep(Regex::rewriting(pattern)?),
            A::Drop => Step::Drop(Regex::rewriting(pattern)?),
            A::KeepEqual => Step::KeepEqual(target.into()),
            A::DropEqual => Step::DropEqual(target.into()),
            A::HashMod => Step::HashMod {
                target: target.into(),
                modulus: self
                    .modulus
                    .filter(|&m| m > 0)
                    .ok_or(RelabelError::Modulus)?,
            },
            A::LabelMap => Step::LabelMap {
                regex: CaptureRegex::new(pattern)?,
                replacement: Template::new(replacement),
            },
            A::LabelDrop => Step::LabelDrop(Regex::rewriting(pattern)?),
            A::LabelKeep => Step::LabelKeep(Regex::rewriting(pattern)?),
            A::Lowercase => Step::Lowercase(target.into()),
            A::Uppercase => Step::Uppercase(target.into()),
        };
        let source_labels = self.source_labels.iter().flatten();
        Ok(RelabelRule {
            source_labels: source_labels.map(|name| name.as_str().into()).collect(),
            separator: self
                .separator
                .as_deref()
                .unwrap_or(DEFAULT_SEPARATOR)
                .into(),
            step,
        })
    }

    fn check_source_and_target(&self, scheme: NameScheme) -> Result<(), RelabelError> {
        use RelabelAction as A;

        let mut sources = self.source_labels.iter().flatten();
        if let Some(name) = sources.find(|name| !scheme.is_valid_label_name(name)) {
            return Err(RelabelError::SourceLabel(name.clone()));
        }
        let action = self.action;
        if action == A::HashMod && self.modulus.unwrap_or(0) == 0 {
            return Err(RelabelError::Modulus);
        }
        let invalid = |field, value: &str| {
            Err(RelabelError::Invalid {
                field,
                value: value.to_owned(),
                action,
            })
        };
        let target = self.target_label.as_deref().unwrap_or_default();
        let replacement = self.replacement.as_deref().unwrap_or(DEFAULT_REPLACEMENT);
        match action {
            A::Keep | A::Drop | A::LabelDrop | A::LabelKeep => Ok(()),
            A::LabelMap if !is_valid_name_template(replacement, scheme) => {
                invalid("replacement", replacement)
            }
            A::LabelMap => Ok(()),
            _ if target.is_empty() => Err(RelabelError::TargetMissing(action)),
            A::Replace if !is_valid_name_template(target, scheme) => {
                invalid("target_label", target)
            }
            A::Replace => Ok(()),
            _ if !scheme.is_valid_label_name(target) => invalid("target_label", target),
            _ => Ok(()),
        }
    }

    /// Refuses fields that the action has no use for.
    fn check_unused(&self) -> Result<(), RelabelError> {
        use RelabelAction as A;

        let action = self.action;
        let is_set = |field: &Option<String>, default: &str| {
            field.as_deref().is_some_and(|value| value != default)
        };
        let own_replacement = is_set(&self.replacement, DEFAULT_REPLACEMENT);
        let own_separator = is_set(&self.separator, DEFAULT_SEPARATOR);
        let own_modulus = self.modulus.unwrap_or(0) != 0;
        match action {
            A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual if own_replacement => {
                Err(RelabelError::Replacement(action))
            }
            A::KeepEqual | A::DropEqual if self.regex.is_some() || own_separator || own_modulus => {
                Err(RelabelError::OtherFields {
                    action,
                    fields: "'source_labels' and `target_label`",
                })
            }
            A::LabelDrop | A::LabelKeep
                if self.source_labels.is_some()
                    || is_set(&self.target_label, "")
                    || own_replacement
                    || own_separator
                    || own_modulus =>
            {
                Err(RelabelError::OtherFields {
                    action,
                    fields: "'regex'",
                })
            }
            _ => Ok(()),
        }
    }
}

/// True for a label name in which references to groups may stand for parts.
fn is_valid_name_template(template: &str, scheme: NameScheme) -> bool {
    match scheme {
        // A dollar sign is as good as any other character.
        NameScheme::Utf8 => scheme.is_valid_label_name(template),
        NameScheme::Legacy => is_legacy_name_template(template),
    }
}

/// Letters, digits, underscores and references `$name` or `${name}`; no digit comes first.
fn is_legacy_name_template(template: &str) -> bool {
    let is_word = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    let mut rest = template.as_bytes();
    let mut first = true;
    while let [b, after @ ..] = rest {
        rest = after;
        if *b != b'$' {
            if !is_word(*b) || (first && b.is_ascii_digit()) {
                return false;
            }
        } else {
            let (braced, name) = match rest {
                [b'{', name @ ..] => (true, name),
                name => (false, name),
            };
            let len = name.iter().take_while(|b| is_word(**b)).count();
            rest = &name[len..];
            if len == 0 || (braced && rest.first() != Some(&b'}')) {
                return false;
            }
            rest = &rest[usize::from(braced)..];
        }
        first = false;
    }
    !first
}

/// Reads text; a number or a boolean stands for its text, as YAML users leave out quotes.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Scalar;

    impl<'de> Visitor<'de> for Scalar {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
            Ok(Some(s.to_owned()))
        }

        fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
            Ok(Some(n.to_string()))
        }

        fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
            Ok(Some(n.to_string()))
        }

        fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
            Ok(Some(b.to_string()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Scalar)
}
