//! The starts of groups: `(`, `(?P<name>`, `(?flags:`, `(?flags)`.

use super::{Flags, Group, Parser, RegexError, syntax};

impl Parser<'_> {
    /// Opens a capturing group.
    pub(super) fn open_capture(&mut self, name: Option<&str>) {
        let index = self.names.len() as u32;
        self.names.push(name.map(Into::into));
        self.open.push(Group {
            flags_outside: self.flags,
            capture: self.captures.then_some(index),
            ..Group::default()
        });
    }

    /// Reads what starts with `(?`.
    pub(super) fn group_with_flags(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        // Go wants a character after `(?<` and `(?P<` before it sees a name.
        let name = [("(?P<", 4), ("(?<", 3)]
            .into_iter()
            .find(|&(prefix, len)| start.starts_with(prefix) && start.len() > len);
        if let Some((_, len)) = name {
            return self.named_capture(len);
        }
        let mut flags = self.flags;
        // While negating: whether a flag has followed the `-`.
        let mut negated = None;
        self.rest = &start[2..];
        while let Some(c) = self.rest.chars().next() {
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                'i' | 'm' | 's' | 'U' => {
                    set(&mut flags, c, negated.is_none());
                    negated = negated.map(|_| true);
                }
                '-' if negated.is_none() => negated = Some(false),
                ':' | ')' if negated != Some(false) => {
                    if c == ':' {
                        self.open.push(Group {
                            flags_outside: self.flags,
                            ..Group::default()
                        });
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
        }
        let fragment = self.since(start);
        Err(syntax("invalid or unsupported Perl syntax", fragment))
    }

    fn named_capture(&mut self, name_start: usize) -> Result<(), RegexError> {
        let start = self.rest;
        let Some(end) = start.find('>') else {
            return Err(syntax("invalid named capture", start));
        };
        let name = &start[name_start..end];
        let valid =
            !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if !valid {
            return Err(syntax("invalid named capture", &start[..=end]));
        }
        self.rest = &start[end + 1..];
        self.open_capture(Some(name));
        Ok(())
    }
}

fn set(flags: &mut Flags, flag: char, on: bool) {
    match flag {
        'i' => flags.fold_case = on,
        'm' => flags.multi_line = on,
        's' => flags.dot_matches_newline = on,
        _ => flags.swap_greed = on,
    }
}
