//! Which indices are old, for servers that do not know by themselves.

use crate::config::{Elasticsearch, Rotation};

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub(super) made_ms: i64,
}

/// Names of those whose youngest samples came before `oldest_ms`. Names that no rotation makes are
/// somebody else's.
pub(super) fn expired(config: &Elasticsearch, indices: Vec<Index>, oldest_ms: i64) -> Vec<String> {
    let mut ours: Vec<_> = (indices.into_iter())
        .filter(|index| is_ours(config, &index.name))
        .collect();
    ours.sort_by_key(|index| index.made_ms);
    // One was written to until the next was made, and the last one still is.
    let ends: Vec<i64> = match config.rotation.is_by_date() {
        true => ours.iter().map(|index| end_of(config, index)).collect(),
        false => ours.iter().skip(1).map(|next| next.made_ms).collect(),
    };
    let old = ours
        .into_iter()
        .zip(ends)
        .filter(|(_, end)| *end < oldest_ms);
    old.map(|(index, _)| index.name).collect()
}

fn is_ours(config: &Elasticsearch, name: &str) -> bool {
    let lengths: &[usize] = match config.rotation {
        Rotation::Daily => &[4, 2, 2],
        Rotation::Monthly => &[4, 2],
        Rotation::Rollover => &[6],
        Rotation::DataStream => return name.starts_with(&format!(".ds-{}-", config.index)),
    };
    let rest = name.strip_prefix(&config.index);
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    let parts: Vec<_> = rest.split('.').collect();
    let is_number = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, len)| is_number(part, *len))
}

/// Where the day or month of an index ends; late samples are counted from when it was made.
fn end_of(config: &Elasticsearch, index: &Index) -> i64 {
    let date = &index.name[config.index.len() + 1..];
    let mut numbers = date.split('.').map(|n| n.parse::<i64>().unwrap_or(0));
    let mut number = || numbers.next();
    let (year, month, day) = (number().unwrap_or(0), number().unwrap_or(1), number());
    // The first of the next month, and so never too early.
    let text = match day {
        Some(day) => format!("{year:04}-{month:02}-{day:02}T23:59:59Z"),
        None if month == 12 => format!("{:04}-01-01T00:00:00Z", year + 1),
        None => format!("{year:04}-{:02}-01T00:00:00Z", month + 1),
    };
    let end = model::time::parse_timestamp(&text).unwrap_or(i64::MAX);
    end.max(index.made_ms)
}
