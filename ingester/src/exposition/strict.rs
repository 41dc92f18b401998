//! What the OpenMetrics 1.0 specification demands beyond syntax.
//!
//! Prometheus does not check these; a tool that judges an exposition does. The rules are about one
//! family at a time, so the validator keeps the open family and the names that closed ones took.

mod family;
mod histogram;

use std::collections::HashSet;

use super::{Entry, Error, Format, MetricType, Parser, RawStr, SampleEntry};
use family::Family;

/// Checks a whole OpenMetrics exposition, syntax and rules.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(input: &[u8]) -> Result<(), Error> {
    let mut parser = Parser::new(input, Format::OpenMetrics);
    let mut validator = Validator::default();
    loop {
        let line = parser.line();
        match parser.next_entry()? {
            Some(entry) => validator.check(line, &entry)?,
            None => return validator.finish(line),
        }
    }
}

/// Checks entries in their order.
#[derive(Debug, Default)]
pub struct Validator {
    family: Option<Family>,
    /// Every name that a closed family may have used.
    taken: HashSet<String>,
}

impl Validator {
    /// Checks the entry that stands at `line`.
    ///
    /// # Errors
    /// The rule that the entry breaks, or that the family before it broke as a whole.
    pub fn check(&mut self, line: u64, entry: &Entry<'_, '_>) -> Result<(), Error> {
        match entry {
            Entry::Sample(sample) => self.sample(sample),
            Entry::Type(name, t) => self.described(*name).and_then(|f| f.set_type(*t)),
            Entry::Help(name, _) => self.described(*name).and_then(Family::set_help),
            Entry::Unit(name, unit) => self
                .described(*name)
                .and_then(|f| f.set_unit(&unit.unescape())),
        }
        .map_err(|reason| Error::new(line, reason))
    }

    /// Checks what only the end shows.
    ///
    /// # Errors
    /// The rule that the last family broke.
    pub fn finish(mut self, line: u64) -> Result<(), Error> {
        self.close().map_err(|reason| Error::new(line, reason))
    }

    /// The family that a line of metadata is about.
    fn described(&mut self, name: RawStr<'_>) -> Result<&mut Family, String> {
        let name = name.unescape();
        match &self.family {
            Some(open) if open.name() == name => {
                if open.has_samples() {
                    return Err("metadata must precede the samples of its family".to_owned());
                }
            }
            _ => self.open(&name, None)?,
        }
        Ok(self.family.as_mut().expect("opened above"))
    }

    fn sample(&mut self, sample: &SampleEntry<'_, '_>) -> Result<(), String> {
        let name = sample.series.name.unescape();
        if !self.family.as_ref().is_some_and(|f| f.allows(&name)) {
            self.open(&name, Some(MetricType::Unknown))?;
        }
        self.family
            .as_mut()
            .expect("opened above")
            .sample(&name, sample)
    }

    fn open(&mut self, name: &str, t: Option<MetricType>) -> Result<(), String> {
        self.close()?;
        self.family = Some(Family::new(name, t));
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(family) = self.family.take() else {
            return Ok(());
        };
        for name in family.names() {
            if let Some(name) = self.taken.replace(name) {
                return Err(format!("another family has the name {name:?} already"));
            }
        }
        family.finish()
    }
}
