//! Which rules a question means.

use model::{ErrorKind, Labels, Matcher};
use promql::parse::{GIVEN, parse_selector};
use storeapi::StoreError;
use storeapi::catalog::{Rule, RuleGroup, RulesRequest};

/// What a question for rules chooses.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    request: &'a RulesRequest,
    selectors: Vec<Vec<Matcher>>,
}

impl<'a> Choice<'a> {
    /// What `request` chooses.
    ///
    /// # Errors
    /// When a selector does not parse.
    pub(super) fn of(request: &'a RulesRequest) -> Result<Self, StoreError> {
        let parse = |text: &String| parse_selector(text, GIVEN);
        let selectors = request.matchers.iter().map(parse);
        let selectors = selectors.collect::<Result<_, _>>();
        let selectors = selectors
            .map_err(|error| StoreError::new(ErrorKind::Invalid, format!("match[]: {error}")))?;
        Ok(Self { request, selectors })
    }

    /// The groups with the rules that are meant; without such a rule a group is not meant itself,
    /// unless nothing is said of rules.
    pub(super) fn of_groups(&self, mut groups: Vec<RuleGroup>) -> Vec<RuleGroup> {
        let chooses_rules = self.request.kind.is_some()
            || !self.request.names.is_empty()
            || !self.selectors.is_empty();
        groups.retain_mut(|group| {
            group.rules.retain(|rule| self.means(rule));
            is_among(&self.request.groups, &group.name)
                && is_among(&self.request.files, &group.file)
                && (!chooses_rules || !group.rules.is_empty())
        });
        groups
    }

    fn means(&self, rule: &Rule) -> bool {
        (self.request.kind).is_none_or(|kind| kind == rule.kind())
            && is_among(&self.request.names, rule.name())
            && (self.selectors.is_empty() || {
                let labels = plain(rule.labels());
                (self.selectors.iter()).any(|matchers| labels.match_all(matchers))
            })
    }
}

/// Whether a name is in a list, which chooses nothing when it is empty.
fn is_among(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|item| item == name)
}

/// The labels whose values are not made from templates, of which nobody knows what they will be.
fn plain(labels: &Labels) -> Labels {
    let pairs = labels.iter();
    Labels::from_pairs(pairs.filter(|(_, value)| !value.contains("{{")))
}
