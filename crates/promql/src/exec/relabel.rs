//! `label_replace` and `label_join`.

use model::Labels;
use model::labels::METRIC_NAME;
use model::regex::{CaptureRegex, Template};

use crate::columns::StepSeries;
use crate::error::Error;
use crate::plan::RelabelRule;

use super::distinct::StepGuard;
use super::{BoxedOperator, Context, Operator, labels};

/// The operator of `rule` over `input`.
pub(crate) fn build<'q>(
    rule: &'q RelabelRule,
    input: BoxedOperator<'q>,
    ctx: &'q Context<'q>,
) -> Result<BoxedOperator<'q>, Error> {
    let regex = match rule {
        RelabelRule::Replace {
            regex, replacement, ..
        } => Some((compile(regex)?, Template::new(replacement))),
        RelabelRule::Join { .. } => None,
    };
    let guard = StepGuard::new(false);
    Ok(Box::new(Relabel {
        input,
        rule,
        regex,
        guard,
        ctx,
    }))
}

fn compile(pattern: &str) -> Result<CaptureRegex, Error> {
    CaptureRegex::new(pattern).map_err(|_| {
        Error::execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })
}

struct Relabel<'q> {
    input: BoxedOperator<'q>,
    rule: &'q RelabelRule,
    /// The expression of a replacement and what to put in.
    regex: Option<(CaptureRegex, Template)>,
    guard: StepGuard,
    ctx: &'q Context<'q>,
}

impl Operator for Relabel<'_> {
    fn next(&mut self, out: &mut StepSeries) -> Result<bool, Error> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        self.ctx.tracker.check()?;
        if let Some((target, value)) = self.relabel(&out.labels) {
            out.labels = labels::with_label(&out.labels, target, &value);
            // A name given on purpose stays.
            if target == METRIC_NAME {
                out.drop_name = false;
            }
        }
        self.guard.admit(out)?;
        Ok(true)
    }
}

impl<'q> Relabel<'q> {
    /// The label to set and its value; `None` when the regular expression does not match.
    fn relabel(&self, labels: &Labels) -> Option<(&'q str, String)> {
        match self.rule {
            RelabelRule::Replace { target, source, .. } => {
                let from = labels.get(source).unwrap_or_default();
                let (regex, template) = self.regex.as_ref()?;
                let value = template.expand(&regex.captures(from)?).into_owned();
                Some((target, value))
            }
            RelabelRule::Join {
                target,
                separator,
                sources,
            } => {
                let parts: Vec<&str> = sources
                    .iter()
                    .map(|s| labels.get(s).unwrap_or_default())
                    .collect();
                Some((target, parts.join(separator)))
            }
        }
    }
}
