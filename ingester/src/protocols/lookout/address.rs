//! Tags in the path of a request: `/app/orders/step/10/KEY/VALUE...`.

use super::intake::Step;
use crate::protocols::pushgateway::path::segment;

/// Says that a value is written in base64, as Prometheus' clients do.
const BASE64_SUFFIX: &str = "@base64";

/// Why a request does not say what it must, in the gateway's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    /// There is no application.
    #[error("app tag in url is required")]
    NoApp,
    /// There is no step.
    #[error("step tag in url is required")]
    NoStep,
    /// The step is not a whole number.
    #[error("step tag in url is invalid")]
    Step,
    /// A key without a value.
    #[error("odd number of tag segments in url")]
    Odd,
    /// A segment that is not encoded as it must be.
    #[error("tag {} in url cannot be decoded", model::labels::quoted(.0))]
    Encoding(String),
}

/// What a request says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The application that sends.
    pub(super) app: String,
    /// To what times are aligned.
    pub(super) step: Step,
    /// All tags but the step.
    pub(super) tags: Vec<(String, String)>,
}

impl Address {
    /// That of the segments of a path.
    ///
    /// # Errors
    /// [`AddressError`].
    pub(super) fn of_path(path: &str) -> Result<Self, AddressError> {
        let path = path.trim_matches('/');
        let mut tags = Vec::new();
        if !path.is_empty() {
            let segments: Vec<_> = path.split('/').collect();
            let pairs = segments.chunks_exact(2);
            if !pairs.remainder().is_empty() {
                return Err(AddressError::Odd);
            }
            for pair in pairs {
                let (key, is_base64) = match pair[0].strip_suffix(BASE64_SUFFIX) {
                    Some(key) => (key, true),
                    None => (pair[0], false),
                };
                let wrong = || AddressError::Encoding(pair[0].to_owned());
                let key = segment(key, false).map_err(|_| wrong())?;
                let value = segment(pair[1], is_base64).map_err(|_| wrong())?;
                tags.push((key, value));
            }
        }
        Self::of_tags(tags)
    }

    /// That of tags.
    ///
    /// # Errors
    /// [`AddressError`].
    pub(super) fn of_tags(mut tags: Vec<(String, String)>) -> Result<Self, AddressError> {
        let named = |name| {
            tags.iter()
                .find(|(key, value)| key == name && !value.is_empty())
        };
        let (_, app) = named("app").ok_or(AddressError::NoApp)?;
        let (_, step) = named("step").ok_or(AddressError::NoStep)?;
        let step = Step::parse(step).map_err(|_| AddressError::Step)?;
        let app = app.clone();
        tags.retain(|(key, _)| key != "step");
        Ok(Self { app, step, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let read = |path| {
            Address::of_path(path).map(|address| {
                let tags = address.tags.iter().map(|(k, v)| format!("{k}={v}"));
                tags.collect::<Vec<_>>().join(",")
            })
        };
        for (path, expected) in [
            ("/app/x/step/10", Ok("app=x")),
            ("step/10/app/a%20b/zone/hz+1", Ok("app=a b,zone=hz+1")),
            ("/job@base64/ai8x/app/demo/step/10", Ok("job=j/1,app=demo")),
            ("/app/x/step/10/", Ok("app=x")),
            ("", Err(AddressError::NoApp)),
            ("/app//step/10", Err(AddressError::NoApp)),
            ("/step/10", Err(AddressError::NoApp)),
            ("/app/x", Err(AddressError::NoStep)),
            ("/app/x/step/ten", Err(AddressError::Step)),
            ("/app/x/step", Err(AddressError::Odd)),
            (
                "/app/%zz/step/1",
                Err(AddressError::Encoding("app".to_owned())),
            ),
        ] {
            assert_eq!(read(path), expected.map(str::to_owned), "{path}");
        }
    }
}
