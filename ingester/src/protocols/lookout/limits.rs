//! What the gateway drops: metrics whose name or tags are too long or too many, and old ones. Values of
//! tags it cuts.
//!
//! It counts characters as Java does, in units of UTF-16; names and keys are ASCII by then.

use std::borrow::Cow;

use crate::protocols::points::Reason;
use crate::receive::Reason as LabelReason;

/// Characters of a metric name.
pub const NAME_MAX: usize = 200;
/// Characters of the key of a tag.
const KEY_MAX: usize = 100;
/// Characters of the value of a tag.
const VALUE_MAX: usize = 200;
/// Tags of a metric.
const TAGS_MAX: usize = 20;
/// How old a metric may be.
const AGE_MAX_MS: i64 = 2 * 24 * 3600 * 1000;
/// The step of a request that says none.
pub const STEP_DEFAULT_MS: i64 = 10_000;

/// Why no metric may have tags of these keys.
pub fn check_keys<'k>(keys: impl ExactSizeIterator<Item = &'k str>) -> Option<Reason> {
    match keys.len() {
        0 => return Some(Reason::NoLabels),
        1..=TAGS_MAX => {}
        _ => return Some(Reason::TooManyLabels),
    }
    let mut wrong = None;
    for key in keys {
        if key.is_empty() {
            return Some(Reason::Series(LabelReason::EmptyLabelName));
        }
        if is_longer(key, KEY_MAX) {
            wrong = Some(Reason::Series(LabelReason::LabelNameTooLong));
        }
    }
    wrong
}

/// True for a name that no metric may have.
#[inline]
pub fn is_name_too_long(name: &str) -> bool {
    is_longer(name, NAME_MAX)
}

/// True for a metric of `t_ms` that is too old when it arrives at `now_ms`.
pub const fn is_expired(t_ms: i64, now_ms: i64) -> bool {
    t_ms < now_ms.saturating_sub(AGE_MAX_MS)
}

/// As much of the value of a tag as is kept.
#[inline]
pub fn cut_value(value: Cow<'_, str>) -> Cow<'_, str> {
    if !is_longer(&value, VALUE_MAX) {
        return value;
    }
    let mut units = 0;
    let end = value.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > VALUE_MAX
    });
    let end = end.map_or(value.len(), |(at, _)| at);
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(&value[..end]),
        Cow::Owned(mut value) => {
            value.truncate(end);
            Cow::Owned(value)
        }
    }
}

/// True when Java counts more than `max` characters.
#[inline]
fn is_longer(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_as_java_counts() {
        let check = |value: &str, chars: usize| {
            assert_eq!(cut_value(value.into()).chars().count(), chars, "{value}");
        };
        let long = "\u{1f600}".repeat(101);
        check(&long, 100);
        check(&format!("a{long}"), 100);
        check(&"a".repeat(200), 200);
        check(&"a".repeat(201), 200);
        check(&"\u{e9}".repeat(201), 200);
    }

    #[test]
    fn keys_are_few_and_short() {
        let check = |keys: &[&str], expected: Option<Reason>| {
            assert_eq!(check_keys(keys.iter().copied()), expected, "{keys:?}");
        };
        check(&[], Some(Reason::NoLabels));
        check(&["a"; 20], None);
        check(&["a"; 21], Some(Reason::TooManyLabels));
        check(
            &["a", ""],
            Some(Reason::Series(LabelReason::EmptyLabelName)),
        );
        check(&[&"k".repeat(100)], None);
        let too_long = Some(Reason::Series(LabelReason::LabelNameTooLong));
        check(&[&"k".repeat(101)], too_long);
    }
}
