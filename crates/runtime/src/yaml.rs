//! YAML that somebody wrote, as a type.

use model::labels::NameScheme;
use model::relabel::{RelabelConfig, RelabelRule};
use serde::de::DeserializeOwned;

use crate::Error;

/// Reads `text`.
///
/// # Errors
/// What is wrong with it, in one line: the lines around it may hold secrets, and errors are logged.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let shown = error.to_string();
        let reason = shown.lines().next().unwrap_or_default();
        reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
    })
}

/// Reads what a flag says, or its file; nothing when that is empty.
///
/// # Errors
/// [`Error::Flag`], as [`read`].
pub fn of_flag<T: DeserializeOwned>(
    flag: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Error> {
    let text = text.filter(|text| !text.trim().is_empty());
    let read = text.map(|text| read(&text)).transpose();
    read.map_err(|reason| Error::Flag { flag, reason })
}

/// The relabelling rules that a flag says, or its file, for names of a scheme.
///
/// # Errors
/// [`Error::Flag`], as [`read`], and for rules that cannot be.
pub fn relabel_rules(
    flag: &'static str,
    text: Option<String>,
    scheme: NameScheme,
) -> Result<Vec<RelabelRule>, Error> {
    let rules = of_flag::<Vec<RelabelConfig>>(flag, text)?.unwrap_or_default();
    let compiled = rules.iter().map(|rule| rule.compile(scheme));
    let compiled: Result<_, _> = compiled.collect();
    compiled.map_err(|error| Error::Flag {
        flag,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Login {
        #[serde(rename = "password")]
        _password: String,
    }

    #[test]
    fn errors_show_no_secrets() {
        for text in [
            "password: hunter2\nuser: x\n",
            "password: hunter2\npassword: [\n",
            "user: 5\npassword: hunter2\n",
        ] {
            let error = read::<Login>(text).unwrap_err();
            assert!(
                !error.contains("hunter2") && error.contains("line"),
                "{error}"
            );
        }
    }
}
