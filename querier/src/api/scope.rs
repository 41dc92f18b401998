//! Parameters of Thanos that say whom to ask and what for.

use model::Matcher;
use promql::parse::parse_selector;
use runtime::http::Form;
use serde::Deserialize;
use storeapi::catalog::Asker;
use storeapi::{PartialResponse, Shard};

use super::answer::ApiError;
use super::{Api, Call, params};
use crate::settings::{DEFAULT_TENANT, label_list};
use crate::store_source::Scope;

/// Matchers on the address and the external labels of a store, any list of which lets it be asked; none
/// for all stores.
pub(super) type StoreMatchers = Vec<Vec<Matcher>>;

/// What a call asks of the stores, at resolutions up to `max_resolution` milliseconds.
pub(super) fn scope(api: &Api, call: &Call<'_>, max_resolution: i64) -> Result<Scope, ApiError> {
    let form = &call.form;
    let settings = api.settings();
    let said: Vec<&str> = form
        .all("replicaLabels[]")
        .chain(form.all("replicaLabels"))
        .collect();
    let replica_labels = match (flag(form, "dedup", true)?, said.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => settings.replica_labels.clone(),
        (true, false) => label_list(said),
    };
    let (tenant, enforced) = tenant(api, call)?;
    Ok(Scope {
        replica_labels,
        dedup: settings.dedup,
        partial_response: partial_response(api, form)?,
        max_resolution,
        tenant,
        enforced,
        shard: shard(form)?,
    })
}

/// Who asks for rules, targets, metadata or exemplars.
pub(super) fn asker(api: &Api, call: &Call<'_>) -> Result<Asker, ApiError> {
    Ok(Asker {
        partial_response: partial_response(api, &call.form)?,
        tenant: tenant(api, call)?.0,
    })
}

fn partial_response(api: &Api, form: &Form) -> Result<PartialResponse, ApiError> {
    let is_fine = flag(form, "partial_response", api.settings().partial_response)?;
    Ok(if is_fine {
        PartialResponse::Warn
    } else {
        PartialResponse::Abort
    })
}

/// The tenant whose name a call says.
fn said_tenant<'a>(api: &Api, call: &'a Call<'_>) -> Result<Option<&'a str>, ApiError> {
    let header = &api.settings().tenancy.header;
    let said = call.request.headers.get(header.as_str());
    let said = said.map(|name| name.to_str()).transpose();
    said.map_err(|_| ApiError::bad_data(format_args!("header {header} is not text")))
}

/// The one tenant whose heads a call is to be told of, be it because it says so or because it is
/// told of no other's.
pub(super) fn only_tenant(api: &Api, call: &Call<'_>) -> Result<Option<String>, ApiError> {
    let tenancy = &api.settings().tenancy;
    Ok(match said_tenant(api, call)? {
        Some(name) => Some(name.to_owned()),
        None if tenancy.is_enforced => Some(tenancy.default_tenant.clone()),
        None => None,
    })
}

/// The tenant of a call, and what its series must match.
fn tenant(api: &Api, call: &Call<'_>) -> Result<(String, Option<Matcher>), ApiError> {
    let tenancy = &api.settings().tenancy;
    let name = said_tenant(api, call)?.unwrap_or(&tenancy.default_tenant);
    let enforced = tenancy.enforced(name);
    let tenant = match name {
        DEFAULT_TENANT => String::new(),
        name => name.to_owned(),
    };
    Ok((tenant, enforced))
}

/// The shard in the parameter `shard_info`, in which Thanos' query frontend splits a query.
fn shard(form: &Form) -> Result<Option<Shard>, ApiError> {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct ShardInfo {
        shard_index: u64,
        total_shards: u64,
        by: bool,
        labels: Vec<String>,
    }
    const NAME: &str = "shard_info";
    let Some(text) = form.get(NAME).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let info: ShardInfo =
        serde_json::from_str(text).map_err(|error| ApiError::parameter(NAME, error))?;
    if info.total_shards == 0 {
        return Ok(None);
    }
    if info.shard_index >= info.total_shards {
        let (index, total) = (info.shard_index, info.total_shards);
        let reason = format_args!("there is no shard {index} of {total}");
        return Err(ApiError::parameter(NAME, reason));
    }
    Ok(Some(Shard {
        index: info.shard_index,
        total: info.total_shards,
        by: info.by,
        labels: info.labels,
    }))
}

/// A truth value as Go writes it.
pub(super) fn flag(form: &Form, name: &str, default: bool) -> Result<bool, ApiError> {
    match form.get(name) {
        None | Some("") => Ok(default),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(other) => {
            let other = model::labels::quoted(other);
            Err(ApiError::parameter(
                name,
                format_args!("{other} is neither true nor false"),
            ))
        }
    }
}

/// The coarsest resolution in milliseconds that will do; `auto` is what it means by default.
pub(super) fn max_resolution(form: &Form, auto: i64, default: i64) -> Result<i64, ApiError> {
    const NAME: &str = "max_source_resolution";
    let ms = match form.get(NAME) {
        None | Some("") => default,
        Some("auto") => auto,
        Some(text) => {
            params::duration_ns(text).map_err(|e| ApiError::parameter(NAME, e))? / 1_000_000
        }
    };
    if ms < 0 {
        return Err(ApiError::parameter(
            NAME,
            "negative values are not accepted. Try a positive integer",
        ));
    }
    Ok(ms)
}

/// Which stores are to be asked.
pub(super) fn store_matchers(api: &Api, form: &Form) -> Result<StoreMatchers, ApiError> {
    let syntax = api.settings().syntax();
    form.all("storeMatch[]")
        .map(|text| {
            parse_selector(text, syntax).map_err(|e| ApiError::parameter("storeMatch[]", e))
        })
        .collect()
}
