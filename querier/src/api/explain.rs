//! `/api/v1/query_explain` and `/api/v1/query_range_explain`: how an expression would be evaluated.

use serde_json::{Value, json};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, query, query_range};
use crate::evaluator::Task;

pub(super) fn instant(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    check_engine(call)?;
    let circumstances = query::circumstances(api, call)?;
    let (expr, text) = params::expression(api, &call.form)?;
    let task = circumstances.task((&expr, text));
    show(api, &task)
}

pub(super) fn range(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    check_engine(call)?;
    let circumstances = query_range::circumstances(api, call)?;
    let (expr, text) = params::expression(api, &call.form)?;
    let task = circumstances.task((&expr, text));
    show(api, &task)
}

/// Thanos explains only what its own engine does; there is but one here, which answers for it.
fn check_engine(call: &Call<'_>) -> Result<(), ApiError> {
    match params::engine(&call.form)? {
        None | Some("thanos") => Ok(()),
        Some(_) => Err(ApiError::bad_data(
            "explain is for the engine \"thanos\"; leave the parameter \"engine\" out",
        )),
    }
}

fn show(api: &Api, task: &Task<'_>) -> Result<Answer, ApiError> {
    let text = api.evaluator.explain(task)?;
    Ok(Answer::tree(plan(&text)))
}

/// A step of a plan: how far it is indented, and what it does.
type Step<'a> = (usize, &'a str);

/// The plan that is run, which is the last of the text: a step a line, its inputs indented below.
fn plan(text: &str) -> Value {
    let lines = text.lines().skip_while(|line| *line != "optimized").skip(1);
    let steps = lines.map(|line| {
        let name = line.trim_start();
        (line.len() - name.len(), name)
    });
    let mut steps = steps.peekable();
    match steps.next() {
        Some(first) => tree(first, &mut steps),
        None => json!({}),
    }
}

/// A step with all that are deeper and come after it.
fn tree<'a>(
    (depth, name): Step<'a>,
    rest: &mut std::iter::Peekable<impl Iterator<Item = Step<'a>>>,
) -> Value {
    let mut children = Vec::new();
    while let Some(next) = rest.next_if(|(deeper, _)| *deeper > depth) {
        children.push(tree(next, rest));
    }
    match children.is_empty() {
        true => json!({ "name": name }),
        false => json!({ "name": name, "children": children }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_tree() {
        let text = "plan\n  x\noptimized\n  join\n    sum\n      latest a\n    latest b\n";
        assert_eq!(
            plan(text),
            json!({"name": "join", "children": [
                {"name": "sum", "children": [{"name": "latest a"}]},
                {"name": "latest b"},
            ]})
        );
        assert_eq!(plan(""), json!({}));
    }
}
