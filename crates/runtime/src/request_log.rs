//! Which requests are logged (`--request.logging-config`), in Thanos' YAML.
//!
//! ```yaml
//! options:                 # of both protocols, where they say nothing else
//!   level: DEBUG           # or INFO, WARNING, ERROR: the least severe lines
//!   decision: {log_start: false, log_end: true}
//! http:
//!   options: {level: ERROR}
//!   config:                # only these; all without
//!     - {path: /api/v1/query, port: 10902}
//! grpc:
//!   config:
//!     - {service: thanos.Store, method: Series}
//! ```
//!
//! As in Thanos, a request that fails by the server's fault is an error, and any other a line for
//! debugging, so that it is seen with `--log.level=debug` only. A port or a method that is not said is
//! any one.

use std::path::PathBuf;

use serde::Deserialize;
use tonic::Code;

use crate::{Error, yaml};

const TEXT_FLAG: &str = "request.logging-config";
const FILE_FLAG: &str = "request.logging-config-file";

/// Flags of what is logged of requests.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RequestLogFlags {
    /// File that says in Thanos' YAML form which requests are logged.
    #[arg(id = FILE_FLAG, long = FILE_FLAG, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The same itself, instead of a file.
    #[arg(id = TEXT_FLAG, long = TEXT_FLAG, value_name = "YAML")]
    pub text: Option<String>,
}

/// Which requests are logged, by protocol; none where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestLogs {
    /// Those over HTTP.
    pub http: Option<CallLog>,
    /// Those over gRPC.
    pub grpc: Option<CallLog>,
}

/// Which requests of a protocol are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLog {
    /// Lines for debugging are too.
    shows_all: bool,
    begin: bool,
    /// What is logged: a path and a port, or a service and a method; empty for any. All when there are
    /// none.
    only: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    options: Options,
    http: Protocol<HttpPlace>,
    grpc: Protocol<GrpcPlace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    level: String,
    decision: Decision,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Decision {
    log_start: bool,
    log_end: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Protocol<P> {
    options: Options,
    config: Vec<P>,
}

impl<P> Default for Protocol<P> {
    fn default() -> Self {
        Self {
            options: Options::default(),
            config: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpPlace {
    path: String,
    #[serde(default)]
    port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrpcPlace {
    service: String,
    #[serde(default)]
    method: String,
}

impl RequestLogFlags {
    /// What is logged.
    ///
    /// # Errors
    /// [`Error::Flag`] when the file cannot be read, or does not say what it must.
    pub fn resolve(&self) -> Result<RequestLogs, Error> {
        let (flag, text) = match &self.file {
            Some(_) if self.text.is_some() => {
                return Err(Error::Flag {
                    flag: FILE_FLAG,
                    reason: format!("leave it out, or --{TEXT_FLAG}: one of them can be"),
                });
            }
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| Error::Flag {
                    flag: FILE_FLAG,
                    reason: format!("read {}: {error}", file.display()),
                })?;
                (FILE_FLAG, Some(text))
            }
            None => (TEXT_FLAG, self.text.clone()),
        };
        let logs = RequestLogs::parse(&text.unwrap_or_default());
        logs.map_err(|reason| Error::Flag { flag, reason })
    }
}

impl RequestLogs {
    /// What a file says.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: File = yaml::read(text)?;
        let http = file.http.config.into_iter().map(|place| {
            let port = (place.port > 0).then(|| place.port.to_string());
            (place.path, port.unwrap_or_default())
        });
        let grpc = file.grpc.config.into_iter();
        let grpc = grpc.map(|place| (place.service, place.method));
        let of = |own: &Options, only: Vec<_>| CallLog::new(&file.options, own, only);
        Ok(Self {
            http: of(&file.http.options, http.collect())?,
            grpc: of(&file.grpc.options, grpc.collect())?,
        })
    }
}

impl CallLog {
    /// What the options of a protocol come to, with those of both; nothing when nothing is to be logged.
    fn new(
        both: &Options,
        own: &Options,
        only: Vec<(String, String)>,
    ) -> Result<Option<Self>, String> {
        let begin = own.decision.log_start || both.decision.log_start;
        let end = own.decision.log_end || both.decision.log_end;
        let level = match own.level.as_str() {
            "" => both.level.as_str(),
            own => own,
        };
        let shows_all = match level {
            "DEBUG" => true,
            "INFO" | "WARNING" | "ERROR" => false,
            "" if !begin && !end => false,
            "" => return Err("say a level: DEBUG, INFO, WARNING or ERROR".to_owned()),
            other => {
                return Err(format!(
                    "{other:?} is no level; use DEBUG, INFO, WARNING or ERROR"
                ));
            }
        };
        if begin && !end {
            return Err("log_start is for those who say log_end too".to_owned());
        }
        Ok(end.then_some(Self {
            shows_all,
            begin,
            only,
        }))
    }

    /// How many paths or methods are named; none when all calls are logged.
    pub const fn places(&self) -> usize {
        self.only.len()
    }

    /// Whether calls of this path and port, or service and method, are logged.
    pub(crate) fn is_about(&self, place: (&str, &str)) -> bool {
        let is_so = |said: &str, is: &str| said.is_empty() || said == is;
        let matches = |(a, b): &(String, String)| is_so(a, place.0) && is_so(b, place.1);
        self.only.is_empty() || self.only.iter().any(matches)
    }

    /// Whether it is said that a call began.
    pub(crate) const fn says_begin(&self) -> bool {
        self.begin && self.shows_all
    }

    /// Whether it is said how a call ended.
    pub(crate) const fn says_end(&self, is_fault: bool) -> bool {
        self.shows_all || is_fault
    }
}

/// Whether a call ended so by the server's fault.
pub(crate) const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(text: &str) -> Result<RequestLogs, String> {
        let flags = RequestLogFlags {
            file: None,
            text: Some(text.to_owned()),
        };
        flags.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn protocols_take_what_is_said_for_both() {
        let text = "{options: {level: ERROR, decision: {log_end: true}}, \
             http: {options: {level: DEBUG, decision: {log_start: true}}, \
             config: [{path: /a, port: 1}, {path: /b}]}, grpc: {config: [{service: s}]}}";
        let logs = logs(text).unwrap();
        let (http, grpc) = (logs.http.unwrap(), logs.grpc.unwrap());
        assert!(http.says_begin() && http.says_end(false));
        for (place, is_logged) in [
            (("/a", "1"), true),
            (("/a", "2"), false),
            (("/b", "2"), true),
            (("/c", "1"), false),
        ] {
            assert_eq!(http.is_about(place), is_logged, "{place:?}");
        }
        assert!(!grpc.says_begin() && !grpc.says_end(false) && grpc.says_end(true));
        assert!(grpc.is_about(("s", "m")) && !grpc.is_about(("t", "m")));
    }

    #[test]
    fn nothing_is_logged_unless_said() {
        for text in ["", "{}", "{http: {config: [{path: /a}]}}"] {
            assert_eq!(logs(text).unwrap(), RequestLogs::default(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, reason) in [
            ("{x: 1}", "x"),
            ("{options: {level: FOO}}", "\"FOO\" is no level"),
            ("{options: {level: debug}}", "\"debug\" is no level"),
            (
                "{grpc: {options: {decision: {log_end: true}}}}",
                "say a level",
            ),
            (
                "{options: {level: DEBUG, decision: {log_start: true}}}",
                "log_start",
            ),
        ] {
            let error = logs(text).unwrap_err();
            assert!(error.starts_with("--request.logging-config: "), "{error}");
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
