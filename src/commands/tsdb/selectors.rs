//! Flags that say which series.

use model::{Labels, Matcher};
use promql::parse::{Options, parse_selector};

/// Which series to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Selectors {
    /// Series selector, as in PromQL; given more than once, a series has to fit one of them.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = parse)]
    selectors: Vec<Selector>,
}

/// The matchers of a selector, all of which a series has to fit.
#[derive(Debug, Clone)]
struct Selector(Vec<Matcher>);

fn parse(text: &str) -> Result<Selector, String> {
    parse_selector(text, Options::default())
        .map(Selector)
        .map_err(|e| e.to_string())
}

impl Selectors {
    /// Matchers that no wanted series fails; [`Selectors::accept`] has the last word.
    pub(super) fn matchers(&self) -> &[Matcher] {
        match self.selectors.as_slice() {
            [only] => &only.0,
            _ => &[],
        }
    }

    /// True when a series fits one of the selectors, or when there are none.
    pub(super) fn accept(&self, labels: &Labels) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|s| labels.match_all(&s.0))
    }
}
