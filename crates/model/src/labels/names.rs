//! Which names labels and metrics may have.

/// True for label names that need no quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_identifier(name, |b| b == b'_')
}

/// True for metric names that need no quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_identifier(name, |b| b == b'_' || b == b':')
}

fn is_identifier(name: &str, is_extra: impl Fn(u8) -> bool) -> bool {
    let starts_well = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    starts_well
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || is_extra(b))
}

/// The rule for names, as `metric_name_validation_scheme` sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameScheme {
    /// Anything but the empty string; the default since Prometheus 3.
    #[default]
    Utf8,
    /// Identifiers in ASCII.
    Legacy,
}

impl NameScheme {
    /// True when a label may have this name.
    pub fn is_valid_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }

    /// True when a metric may have this name.
    pub fn is_valid_metric_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_metric_name(name),
        }
    }
}
