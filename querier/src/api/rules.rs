//! `/api/v1/rules` and `/api/v1/alerts`: rules of all endpoints that have some, and what they raised.

use serde_json::json;
use storeapi::catalog::{Rule, RuleGroup, RuleGroups, RuleKind, RulesRequest};

use super::answer::{Answer, ApiError};
use super::{Api, Call, params, scope};

pub(super) fn rules(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let form = &call.form;
    let list = |name: &str| -> Vec<String> { form.all(name).map(str::to_owned).collect() };
    let kind = match form.get("type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => None,
        Some("alert") => Some(RuleKind::Alerting),
        Some("record") => Some(RuleKind::Recording),
        Some(other) => {
            return Err(ApiError::parameter(
                "type",
                format_args!("not supported value {}", model::labels::quoted(other)),
            ));
        }
    };
    // What is wrong with a selector is to be said before anybody is asked.
    params::selectors(api, form).map_err(ApiError::bad_data)?;
    let without_alerts = scope::flag(form, "exclude_alerts", false)?;
    let request = RulesRequest {
        kind,
        matchers: list("match[]"),
        names: list("rule_name[]"),
        groups: list("rule_group[]"),
        files: list("file[]"),
        asker: scope::asker(api, call)?,
    };
    let answer = api.wait_for(call, api.catalog.rules(request))?;
    let mut groups = answer.data;
    if without_alerts {
        for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
            if let Rule::Alerting(rule) = rule {
                rule.alerts.clear();
            }
        }
    }
    let (groups, next) = page(groups, call)?;
    let mut data = json!(RuleGroups { groups });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(Answer::tree(data).with_store_warnings(answer.warnings))
}

/// The groups of a page, and what the next page is asked by: the name and file of its first group.
fn page(
    mut groups: Vec<RuleGroup>,
    call: &Call<'_>,
) -> Result<(Vec<RuleGroup>, Option<String>), ApiError> {
    let form = &call.form;
    let token = |group: &RuleGroup| format!("{};{}", group.file, group.name);
    let said = form.get("group_limit").filter(|text| !text.is_empty());
    let limit = params::count(form, "group_limit")?;
    if said.is_some() && limit == 0 {
        let reason = "group_limit needs to be greater than 0";
        return Err(ApiError::parameter("group_limit", reason));
    }
    if let Some(from) = form.get("group_next_token").filter(|text| !text.is_empty()) {
        if limit == 0 {
            return Err(ApiError::parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            ));
        }
        let Some(at) = groups.iter().position(|group| token(group) == from) else {
            return Err(ApiError::parameter(
                "group_next_token",
                format_args!("invalid group_next_token '{from}'. were rule groups changed?"),
            ));
        };
        groups.drain(..at);
    }
    let next = (limit > 0 && groups.len() > limit).then(|| token(&groups[limit]));
    if limit > 0 {
        groups.truncate(limit);
    }
    Ok((groups, next))
}

pub(super) fn alerts(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let request = RulesRequest {
        kind: Some(RuleKind::Alerting),
        asker: scope::asker(api, call)?,
        ..RulesRequest::default()
    };
    let answer = api.wait_for(call, api.catalog.rules(request))?;
    let rules = answer.data.into_iter().flat_map(|group| group.rules);
    let alerts = rules.flat_map(|rule| match rule {
        Rule::Alerting(rule) => rule.alerts,
        Rule::Recording(_) => Vec::new(),
    });
    let alerts: Vec<_> = alerts.collect();
    Ok(Answer::tree(json!({ "alerts": alerts })).with_store_warnings(answer.warnings))
}
