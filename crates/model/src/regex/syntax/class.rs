//! Character classes: `[a-z]`, `[[:alpha:]]`, `\d`, `\p{Greek}`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::{Parser, RegexError, escape, syntax};

impl Parser<'_> {
    /// Reads a class in brackets.
    pub(super) fn bracket_class(&mut self) -> Result<ClassUnicode, RegexError> {
        let start = self.rest;
        let fold = self.flags.fold_case;
        let mut rest = &start[1..];
        let negated = rest.starts_with('^');
        if negated {
            rest = &rest[1..];
        }
        let mut ranges = Vec::new();
        // A `]` that comes first stands for itself.
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            let class = match posix_class(rest, fold)? {
                Some(found) => Some(found),
                None => escaped_class(rest, fold)?,
            };
            if let Some((class, after)) = class {
                ranges.extend_from_slice(class.ranges());
                rest = after;
                continue;
            }
            let (low, mut after) = class_character(rest, start)?;
            let mut high = low;
            // A `-` that comes last stands for itself.
            if after.len() >= 2 && after.starts_with('-') && !after.starts_with("-]") {
                (high, after) = class_character(&after[1..], start)?;
                if high < low {
                    let fragment = &rest[..rest.len() - after.len()];
                    return Err(syntax("invalid character class range", fragment));
                }
            }
            ranges.extend(range(low, high));
            rest = after;
        }
        self.rest = &rest[1..];
        let mut class = ClassUnicode::new(ranges);
        if fold {
            // What came from other classes is closed under folding already.
            class.case_fold_simple();
        }
        if negated {
            class.negate();
        }
        Ok(class)
    }
}

/// Reads one character inside brackets that start at `whole`.
fn class_character<'s>(s: &'s str, whole: &str) -> Result<(u32, &'s str), RegexError> {
    match s.chars().next() {
        None => Err(syntax("missing closing ]", whole)),
        Some('\\') => escape::character(s),
        Some(c) => Ok((u32::from(c), &s[c.len_utf8()..])),
    }
}

/// The characters from `low` to `high` but for surrogates, which no string contains.
fn range(low: u32, high: u32) -> Option<ClassUnicodeRange> {
    const BEFORE_SURROGATES: u32 = 0xd7ff;
    const AFTER_SURROGATES: u32 = 0xe000;
    let low = char::from_u32(low).or(char::from_u32(AFTER_SURROGATES))?;
    let high = char::from_u32(high).or(char::from_u32(BEFORE_SURROGATES))?;
    (low <= high).then(|| ClassUnicodeRange::new(low, high))
}

/// Reads `[:name:]` or `[:^name:]`; `None` when `s` does not start so.
fn posix_class(s: &str, fold: bool) -> Result<Option<(ClassUnicode, &str)>, RegexError> {
    let Some((name, after)) = s.strip_prefix("[:").and_then(|s| s.split_once(":]")) else {
        return Ok(None);
    };
    let positive = name.strip_prefix('^');
    let Some(ranges) = ascii_ranges(positive.unwrap_or(name)) else {
        let fragment = &s[..s.len() - after.len()];
        return Err(syntax("invalid character class range", fragment));
    };
    Ok(Some((ascii_class(ranges, positive.is_some(), fold), after)))
}

/// Reads `\d` and its kind, `\pL` or `\p{Greek}`; `None` when `s` starts with something else.
pub(super) fn escaped_class(
    s: &str,
    fold: bool,
) -> Result<Option<(ClassUnicode, &str)>, RegexError> {
    let Some(letter) = s.strip_prefix('\\').and_then(|s| s.bytes().next()) else {
        return Ok(None);
    };
    let name = match letter.to_ascii_lowercase() {
        b'd' => "digit",
        b's' => "perl space",
        b'w' => "word",
        b'p' => return unicode_class(s, fold).map(Some),
        _ => return Ok(None),
    };
    let ranges = ascii_ranges(name).expect("the three names are in the table");
    let class = ascii_class(ranges, letter.is_ascii_uppercase(), fold);
    Ok(Some((class, &s[2..])))
}

fn ascii_class(ranges: &[(char, char)], negated: bool, fold: bool) -> ClassUnicode {
    let ranges = ranges
        .iter()
        .map(|&(low, high)| ClassUnicodeRange::new(low, high));
    folded_and_negated(ClassUnicode::new(ranges), negated, fold)
}

fn folded_and_negated(mut class: ClassUnicode, negated: bool, fold: bool) -> ClassUnicode {
    if fold {
        class.case_fold_simple();
    }
    if negated {
        class.negate();
    }
    class
}

fn ascii_ranges(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        // Without the vertical tab.
        "perl space" => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// Reads `\pL`, `\p{Greek}`, `\p{^Greek}` or one of these with `\P`.
fn unicode_class(s: &str, fold: bool) -> Result<(ClassUnicode, &str), RegexError> {
    let (name, after) = match s[2..].chars().next() {
        None => ("", ""),
        Some('{') => s[3..]
            .split_once('}')
            .ok_or_else(|| syntax("invalid character class range", s))?,
        Some(c) => s[2..].split_at(c.len_utf8()),
    };
    let positive = name.strip_prefix('^');
    let negated = s.starts_with("\\P") != positive.is_some();
    let class = named_class(positive.unwrap_or(name)).ok_or_else(|| {
        let fragment = &s[..s.len() - after.len()];
        syntax("invalid character class range", fragment)
    })?;
    Ok((folded_and_negated(class, negated, fold), after))
}

/// The characters of a general category or a script. Case, spaces, hyphens and underscores in
/// names do not matter.
fn named_class(name: &str) -> Option<ClassUnicode> {
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    // Go knows no `is` before names, which the tables here would skip.
    if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_lowercase()) || plain.starts_with("is")
    {
        return None;
    }
    if matches!(plain.as_str(), "cs" | "surrogate") {
        return Some(ClassUnicode::empty());
    }
    let category = lookup("gc", &plain);
    if category.is_some() || (plain.len() == 4 && !FOUR_LETTER_SCRIPTS.contains(&plain.as_str())) {
        return category;
    }
    lookup("sc", &plain)
}

/// Scripts with names of four letters. Any other four letters are a script's code, which the
/// tables here know and Go does not.
const FOUR_LETTER_SCRIPTS: [&str; 9] = [
    "ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto",
];

fn lookup(property: &str, name: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(&format!(r"\p{{{property}={name}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    }
}
