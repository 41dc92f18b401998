//! YAML that somebody wrote, as a type.

use serde::de::DeserializeOwned;

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
