//! `/api/v1/label/NAME/values`: the values of a label.

use model::labels::quoted;
use runtime::http::Form;

use super::answer::{Answer, ApiError};
use super::labels::Question;
use super::{Api, Call, PREFIX, params};

/// The label's name in what follows `/api/v1/`, still encoded.
pub(super) fn name_in(path: &str) -> Option<&str> {
    let name = path.strip_prefix("label/")?.strip_suffix("/values")?;
    (!name.contains('/')).then_some(name)
}

/// The label that a call asks for the values of.
pub(super) fn name_of(call: &Call<'_>) -> Result<String, ApiError> {
    let path = call.request.path.strip_prefix(PREFIX);
    let encoded = path.and_then(name_in).unwrap_or_default();
    let name = Form::decode_path(encoded).map_err(ApiError::bad_data)?;
    let name = unescape(&name).unwrap_or(name);
    if name.is_empty() {
        let name = quoted(&name);
        return Err(ApiError::bad_data(format_args!(
            "invalid label name: {name}"
        )));
    }
    Ok(name)
}

pub(super) fn answer(api: &Api, call: &Call<'_>) -> Result<Answer, ApiError> {
    let name = name_of(call)?;
    let limit = params::limit(&call.form)?;
    let question = Question::of(api, call)?;
    let store = api.evaluator.fan_out(&question.stores);
    let patience = question.patience(api, &*store);
    let ask = |request| store.label_values(name.clone(), request);
    question.ask(&patience, limit, ask)
}

/// The name that was escaped as `U__...`: `__` for an underscore, `_HEX_` for any character that a
/// name in a path could not hold. `None` when the name is not such.
fn unescape(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut plain = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('_') {
        plain.push_str(before);
        let (code, after) = after.split_once('_')?;
        if code.is_empty() {
            plain.push('_');
        } else {
            if code.len() > 6 || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let code = u32::from_str_radix(code, 16).ok()?;
            plain.push(char::from_u32(code)?);
        }
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (name, expected) in [
            ("job", None),
            ("U__job", Some("job")),
            ("U__http_2e_status__code", Some("http.status_code")),
            ("U__a_1F600_", Some("a😀")),
            ("U__a_D800_", None),
            ("U__a_zz_", None),
            ("U__a_2e", None),
            ("U__a_", None),
        ] {
            assert_eq!(unescape(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_name_stands_between_slashes() {
        assert_eq!(name_in("label/job/values"), Some("job"));
        assert_eq!(name_in("label//values"), Some(""));
        assert_eq!(name_in("label/a/b/values"), None);
        assert_eq!(name_in("label/values"), None);
    }
}
