//! Escaped characters and the counts of repetitions.

use super::{RegexError, syntax};

/// Largest count that one repetition may name, as in Go.
const MAX_COUNT: u32 = 1000;

/// Bounds of a repetition; no upper one for `{2,}`.
pub(super) type Counts = (u32, Option<u32>);

/// Reads `{2}`, `{2,}` or `{2,3}` and returns what follows it; `None` when `s` is not of that
/// form and the brace stands for itself. The counts are `None` when they are not allowed.
pub(super) fn counts(s: &str) -> Option<(Option<Counts>, &str)> {
    let (min, after) = count(s.strip_prefix('{')?)?;
    let (max, after) = match after.strip_prefix(',') {
        None => (Some(min), after),
        Some(after) if after.starts_with('}') => (None, after),
        Some(after) => {
            let (max, after) = count(after)?;
            (Some(max), after)
        }
    };
    let after = after.strip_prefix('}')?;
    let allowed = min <= MAX_COUNT && max.is_none_or(|max| min <= max && max <= MAX_COUNT);
    Some((allowed.then_some((min, max)), after))
}

/// A number without leading zeros; one that is too large is at least more than [`MAX_COUNT`].
fn count(s: &str) -> Option<(u32, &str)> {
    let len = s.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = s.split_at(len);
    if digits.is_empty() || (len > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), after))
}

/// Reads an escaped character, which may be a surrogate, and returns what follows it.
pub(super) fn character(s: &str) -> Result<(u32, &str), RegexError> {
    let mut chars = s[1..].chars();
    let Some(c) = chars.next() else {
        return Err(syntax("trailing backslash at end of expression", ""));
    };
    let code = match c {
        // A single digit would be a reference back to a group, which RE2 does not have.
        '1'..='7' if !chars.as_str().starts_with(is_octal) => None,
        '0'..='7' => {
            let rest = chars.as_str();
            let len = rest
                .bytes()
                .take(2)
                .take_while(|&b| is_octal(b.into()))
                .count();
            chars = rest[len..].chars();
            let digits = rest[..len].chars();
            Some(digits.fold(value(c), |code, d| code * 8 + value(d)))
        }
        'x' => hexadecimal(&mut chars),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
        _ => None,
    };
    let after = chars.as_str();
    code.map(|code| (code, after)).ok_or_else(|| {
        let fragment = &s[..s.len() - after.len()];
        syntax("invalid escape sequence", fragment)
    })
}

/// Reads what follows `\x`: two digits, or any number of them in braces.
fn hexadecimal(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        // Both are read before either is looked at, so that an error shows both.
        let second = chars.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut code = None;
    loop {
        match chars.next()? {
            '}' => return code,
            c => {
                let next = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                if next > u32::from(char::MAX) {
                    return None;
                }
                code = Some(next);
            }
        }
    }
}

fn is_octal(c: char) -> bool {
    ('0'..='7').contains(&c)
}

fn value(digit: char) -> u32 {
    u32::from(digit) - u32::from('0')
}
