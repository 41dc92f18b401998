//! Which blocks a tool is for.

use std::path::PathBuf;

use bucket::{Filter, TimeBound, TimeBounds};
use model::labels::NameScheme;
use runtime::{Environment, yaml};

/// Flags that say which blocks.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Only blocks with samples at this time or later, such as 2024-01-02T03:04:05Z or -6w.
    #[arg(
        long = "min-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = "0000-01-01T00:00:00Z"
    )]
    min_time: TimeBound,
    /// Only blocks with samples at this time or earlier.
    #[arg(
        long = "max-time",
        value_name = "TIME",
        allow_hyphen_values = true,
        default_value = "9999-12-31T23:59:59Z"
    )]
    max_time: TimeBound,
    /// File with relabelling rules, in Prometheus' form: only blocks whose external labels they keep.
    #[arg(
        long = "selector.relabel-config-file",
        value_name = "FILE",
        conflicts_with = "rules"
    )]
    rules_file: Option<PathBuf>,
    /// The rules themselves, instead of a file.
    #[arg(long = "selector.relabel-config", value_name = "YAML")]
    rules: Option<String>,
}

impl Selection {
    /// The filters that leave these blocks.
    pub(super) fn filters(&self, environment: &Environment) -> anyhow::Result<Vec<Filter>> {
        let flag = "selector.relabel-config";
        let (file, text) = (self.rules_file.as_deref(), self.rules.as_deref());
        let text = environment.configuration(flag, file, text)?;
        let bounds = TimeBounds {
            min: self.min_time,
            max: self.max_time,
        };
        Ok(vec![
            Filter::TimePartition(bounds),
            Filter::Shard(yaml::relabel_rules(flag, text, NameScheme::Legacy)?),
        ])
    }
}

/// One label with its value, as `NAME="VALUE"`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is no label; write NAME=\"VALUE\"");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    let value = match value.starts_with('"') {
        false => value.to_owned(),
        // Go's escapes that are not JSON's do not occur in labels that anybody writes.
        true => serde_json::from_str(value).map_err(|_| wrong())?,
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_and_without_quotes() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(label(r#"a="b \"c\"""#), pair("a", r#"b "c""#));
        assert_eq!(label("a=b=c"), pair("a", "b=c"));
        assert_eq!(label("a="), pair("a", ""));
        assert!(label("a").is_err() && label("=b").is_err() && label("a=\"b").is_err());
    }
}
