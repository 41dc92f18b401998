//! Names of other systems as names of ours. The rules are those of the SOFALookout gateway, whose
//! clients query by what it stored; names of metrics are otherwise kept as they are.

use std::borrow::Cow;

/// What becomes of characters in metric names that PromQL does not take unquoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Names {
    /// They are kept.
    #[default]
    Keep,
    /// Each becomes an underscore.
    Underscore,
}

impl Names {
    /// The metric name.
    pub fn metric(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Keep => Cow::Borrowed(name),
            Self::Underscore => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
                replaced(name, allowed, "_", |c| !c.is_ascii_digit())
            }
        }
    }
}

/// May be in the name of a label.
const LABEL: u8 = 1;
/// May be in a metric name of Lookout.
const METRIC: u8 = 2;
/// May be the first in either.
const FIRST: u8 = 4;
/// May not be in the value of a tag of Lookout.
const BAD_IN_VALUE: u8 = 8;

/// What each byte may be. No byte of a character beyond ASCII may be anything but in a value.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LABEL | METRIC | FIRST,
            b'0'..=b'9' | b'_' => LABEL | METRIC,
            b':' | b'.' => METRIC,
            b'\t' | b'\n' | b'\r' | b' ' | b'"' | b'\\' | b'=' | b',' => BAD_IN_VALUE,
            _ => 0,
        };
        b += 1;
    }
    table
};

/// True when all bytes may be `what`.
#[inline]
fn are_all(text: &str, what: u8) -> bool {
    // Without an end before the last byte, which is quicker for names.
    let bytes = text.bytes();
    bytes.fold(what, |all, b| all & CLASS[usize::from(b)]) != 0
}

/// True for a name that stays as it is, whose bytes may be `what`.
#[inline]
fn is_kept(name: &str, what: u8) -> bool {
    let first = name.bytes().next();
    first.is_none_or(|b| CLASS[usize::from(b)] & FIRST != 0) && are_all(name, what)
}

/// Lookout's metric name: letters, digits, `_`, `:` and `.`; begins with a letter.
#[inline]
pub fn lookout_metric(name: &str) -> Cow<'_, str> {
    if is_kept(name, METRIC) {
        return Cow::Borrowed(name);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    replaced(name, allowed, "m_", |c| c.is_ascii_alphabetic())
}

/// The name of a label for the key of a tag: letters, digits and `_`; begins with a letter. So no
/// tag becomes `__name__` or another name that is reserved.
#[inline]
pub fn tag_key(key: &str) -> Cow<'_, str> {
    if is_kept(key, LABEL) || key == "_bucket" {
        return Cow::Borrowed(key);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    replaced(key, allowed, "m_", |c| c.is_ascii_alphabetic())
}

/// Lookout's value of a tag: each run of blanks, quotes, backslashes, equals signs and commas is one
/// underscore.
#[inline]
pub fn lookout_tag_value(value: &str) -> Cow<'_, str> {
    let classes = value.bytes().fold(0, |any, b| any | CLASS[usize::from(b)]);
    if classes & BAD_IN_VALUE == 0 {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut in_run = false;
    for c in value.chars() {
        let is_bad = u8::try_from(c).is_ok_and(|b| CLASS[usize::from(b)] & BAD_IN_VALUE != 0);
        if !is_bad {
            out.push(c);
        } else if !in_run {
            out.push('_');
        }
        in_run = is_bad;
    }
    Cow::Owned(out)
}

/// `text` with `_` for what is not allowed, and behind `prefix` when it begins with what may not be
/// first. Empty stays empty.
fn replaced<'a>(
    text: &'a str,
    allowed: impl Fn(char) -> bool,
    prefix: &str,
    first: impl Fn(char) -> bool,
) -> Cow<'a, str> {
    let Some(begin) = text.chars().next() else {
        return Cow::Borrowed(text);
    };
    // What is replaced by an underscore begins with one.
    let begin = if allowed(begin) { begin } else { '_' };
    let is_first = first(begin);
    if is_first && text.chars().all(&allowed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + prefix.len());
    if !is_first {
        out.push_str(prefix);
    }
    out.extend(text.chars().map(|c| if allowed(c) { c } else { '_' }));
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_gateways_rules() {
        for (name, expected) in [
            ("jvm.gc-old.time", "jvm.gc_old.time"),
            ("1st:a", "m_1st:a"),
            ("-x", "m__x"),
            ("é", "m__"),
            ("", ""),
        ] {
            assert_eq!(lookout_metric(name), expected, "{name}");
        }
        for (key, expected) in [
            ("_bucket", "_bucket"),
            ("1st", "m_1st"),
            ("a.b-c", "a_b_c"),
            ("__name__", "m___name__"),
            ("host", "host"),
        ] {
            assert_eq!(tag_key(key), expected, "{key}");
        }
        for (value, expected) in [("x=y", "x_y"), ("a \t\"b", "a_b"), ("", ""), ("=", "_")] {
            assert_eq!(lookout_tag_value(value), expected, "{value}");
        }
        assert_eq!(Names::Underscore.metric("sys.cpu-0"), "sys_cpu_0");
        assert_eq!(Names::Underscore.metric("0a"), "_0a");
        assert_eq!(Names::Keep.metric("sys.cpu-0"), "sys.cpu-0");
    }
}
