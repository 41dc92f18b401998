//! Label sets: names dropped, keys of groups and matches, labels made from others.

use model::regex::{CaptureRegex, Template};
use model::{Labels, LabelsBuilder};
use promql::ast::{Expr, VectorSelector};

use super::{Element, NAME, Naive, Stop};

pub(super) fn without_name(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    for name in [NAME, "__type__", "__unit__"] {
        builder.delete(name);
    }
    builder.labels()
}

/// The labels that tell groups or matches apart: `names` if `only`, else all others but the name.
pub(super) fn key(labels: &Labels, names: &[String], only: bool) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.retain(|name, _| names.iter().any(|n| n == name) == only && (only || name != NAME));
    builder.labels()
}

/// Fails when a label set comes twice.
pub(super) fn distinct(vector: Vec<Element>) -> Result<Naive, Stop> {
    let mut sorted: Vec<_> = vector.iter().map(|e| &e.labels).collect();
    sorted.sort();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Stop::Failed);
    }
    Ok(Naive::Vector(vector))
}

fn text(expr: &Expr) -> Result<&str, Stop> {
    match expr.unwrap_parens() {
        Expr::String(s) => s.as_str().ok_or(Stop::Unknown),
        _ => Err(Stop::Unknown),
    }
}

/// Sets a label of each element to what `value` says, if it says something. A name set on purpose
/// stays.
fn set(
    mut vector: Vec<Element>,
    target: &str,
    value: impl Fn(&Labels) -> Option<String>,
) -> Result<Naive, Stop> {
    for element in &mut vector {
        if let Some(value) = value(&element.labels) {
            let mut builder = LabelsBuilder::from_labels(&element.labels);
            builder.set(target, &value);
            element.labels = builder.labels();
            element.drop_name &= target != NAME;
        }
    }
    distinct(vector)
}

/// `label_replace(v, target, template, source, pattern)`, `rest` being what follows `v`.
pub(super) fn replace(vector: Vec<Element>, rest: &[Expr]) -> Result<Naive, Stop> {
    let [target, template, source, pattern] = rest else {
        return Err(Stop::Unknown);
    };
    let (target, source) = (text(target)?, text(source)?);
    let template = Template::new(text(template)?);
    let regex = CaptureRegex::new(text(pattern)?).map_err(|_| Stop::Failed)?;
    set(vector, target, |labels| {
        let from = labels.get(source).unwrap_or_default();
        Some(template.expand(&regex.captures(from)?).into_owned())
    })
}

/// `label_join(v, target, separator, sources...)`, `rest` being what follows `v`.
pub(super) fn join(vector: Vec<Element>, rest: &[Expr]) -> Result<Naive, Stop> {
    let [target, separator, sources @ ..] = rest else {
        return Err(Stop::Unknown);
    };
    let separator = text(separator)?;
    let sources: Vec<&str> = sources.iter().map(text).collect::<Result<_, _>>()?;
    set(vector, text(target)?, |labels| {
        let parts: Vec<_> = sources
            .iter()
            .map(|s| labels.get(s).unwrap_or(""))
            .collect();
        Some(parts.join(separator))
    })
}

/// What the selector in the argument of `absent` says about the labels that are absent: each label
/// with one matcher, if that is an equality.
pub(super) fn of_absent(argument: &Expr) -> Labels {
    let selector: &VectorSelector = match argument {
        Expr::Vector(selector) => selector,
        Expr::Matrix(matrix) => &matrix.selector,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    for matcher in selector.matchers.iter().filter(|m| m.name() != NAME) {
        let same_name = selector
            .matchers
            .iter()
            .filter(|m| m.name() == matcher.name());
        if same_name.count() == 1 && matcher.op() == model::MatchOp::Equal {
            builder.set(matcher.name(), matcher.value());
        }
    }
    builder.labels()
}
