//! What `main` found around the process: its memory, and variables of the environment with their use in
//! configuration.
//!
//! Two forms are known, each where its users know it from: `$(NAME)` in configuration of Thanos, and
//! `$NAME` or `${NAME}` in external labels of Prometheus, to which `${NAME:-default}` is added. A
//! variable that is not set is an error in both: an empty key or label would fail later and say less.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Memory};

/// The variables, and the memory. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Arc<BTreeMap<String, String>>,
    memory: Memory,
}

impl fmt::Debug for Environment {
    /// Names only, since values are secret at times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// These variables; those that are no text are left out.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |s: OsString| s.into_string().ok();
        let variables = variables.into_iter();
        let variables = variables.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self {
            variables: Arc::new(variables.collect()),
            memory: Memory::default(),
        }
    }

    /// The same, with this memory.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// What the process may have.
    pub const fn memory(&self) -> Memory {
        self.memory
    }

    /// What a variable is, if it is set and text.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn get(&self, name: &str) -> Result<&str, String> {
        let value = self.variables.get(name).map(String::as_str);
        value.ok_or_else(|| format!("the variable {name} of the environment is not set"))
    }

    /// The text with the values of variables in place of `$(NAME)`. What is not of that form stays.
    ///
    /// # Errors
    /// A sentence that names the variable, when one is not set.
    pub fn expand_parentheses(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            let inner = &from[2..];
            let name = inner.find(|c: char| !is_of_name(c)).unwrap_or(inner.len());
            match inner[name..].strip_prefix(')') {
                Some(after) if name > 0 => {
                    expanded.push_str(self.get(&inner[..name])?);
                    rest = after;
                }
                _ => {
                    expanded.push_str("$(");
                    rest = inner;
                }
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The text with the values of variables in place of `$NAME`, `${NAME}` and `${NAME:-default}`,
    /// and one dollar in place of two. A dollar before anything else stays.
    ///
    /// # Errors
    /// A sentence that names the variable, when one is not set and has no default, or that says what
    /// is not closed.
    pub fn expand_braces(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(braced) = after.strip_prefix('{') {
                let (inner, after) = braced
                    .split_once('}')
                    .ok_or_else(|| format!("{text:?} lacks a closing brace"))?;
                expanded.push_str(self.braced(inner)?);
                rest = after;
            } else if let Some(after) = after.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else {
                let name = after.find(|c: char| !is_of_name(c)).unwrap_or(after.len());
                match name {
                    0 => expanded.push('$'),
                    _ => expanded.push_str(self.get(&after[..name])?),
                }
                rest = &after[name..];
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// What stands for the inside of a pair of braces.
    fn braced<'a>(&'a self, inner: &'a str) -> Result<&'a str, String> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        match (name, default) {
            // Prometheus' other way to write a dollar.
            ("$", None) => Ok("$"),
            (name, _) if name.is_empty() || !name.chars().all(is_of_name) => {
                Err(format!("{name:?} is not the name of a variable"))
            }
            (name, None) => self.get(name),
            // As in a shell, the default stands for an empty value too.
            (name, Some(default)) => Ok(self
                .get(name)
                .ok()
                .filter(|v| !v.is_empty())
                .unwrap_or(default)),
        }
    }

    /// Configuration of Thanos that is given as a file or as the text itself, by `--NAME-file` or
    /// `--NAME`, with its variables replaced; `None` when neither was said.
    ///
    /// # Errors
    /// [`Error::Flag`] when the file cannot be read or a variable is not set.
    pub fn configuration(
        &self,
        flag: &'static str,
        file: Option<&Path>,
        text: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let refused = |reason| Error::Flag { flag, reason };
        let text = match (file, text) {
            (Some(file), _) => std::fs::read_to_string(file)
                .map_err(|e| refused(format!("cannot read {}: {e}", file.display())))?,
            (None, Some(text)) => text.to_owned(),
            (None, None) => return Ok(None),
        };
        self.expand_parentheses(&text).map(Some).map_err(refused)
    }
}

/// Characters of which names of variables consist.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let variables = [("A", "1"), ("LONG_2", "two"), ("EMPTY", "")];
        Environment::new(variables.map(|(k, v)| (k.into(), v.into())))
    }

    #[test]
    fn parentheses_are_those_of_thanos() {
        for (text, expanded) in [
            ("key: $(A)$(LONG_2)!", "key: 1two!"),
            (
                "$A ${A} $$ $( $() $(A-B) $(A",
                "$A ${A} $$ $( $() $(A-B) $(A",
            ),
            ("[$(EMPTY)]", "[]"),
        ] {
            let found = environment().expand_parentheses(text);
            assert_eq!(found.as_deref(), Ok(expanded), "{text}");
        }
        let error = environment().expand_parentheses("$(NONE)").unwrap_err();
        assert!(error.contains("NONE"), "{error}");
    }

    #[test]
    fn braces_are_those_of_prometheus() {
        for (text, expanded) in [
            ("${A}-$LONG_2.x", "1-two.x"),
            ("$$A $ $- 5$", "$A $ $- 5$"),
            ("${A:-x} ${NONE:-x} ${EMPTY:-x} ${NONE:-}.", "1 x x ."),
            ("[$EMPTY]", "[]"),
            ("${$}A", "$A"),
        ] {
            let found = environment().expand_braces(text);
            assert_eq!(found.as_deref(), Ok(expanded), "{text}");
        }
        for (text, said) in [
            ("$NONE", "NONE"),
            ("${NONE}", "NONE"),
            ("${A", "brace"),
            ("${A b}", "A b"),
        ] {
            let error = environment().expand_braces(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_not_shown() {
        assert!(!format!("{:?}", environment()).contains("two"));
    }
}
