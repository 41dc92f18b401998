//! Asking a target for its exposition.

use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};

use super::client::{self, HttpClient, read_body};
use super::error::Error;
use crate::config::{Job, Protocol};
use crate::exposition::Format;

/// What a body may hold where the configuration sets no limit: compressed, a megabyte can claim to
/// be gigabytes.
const BODY_BYTES_MAX: usize = 512 << 20;

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As a text format.
    Text(Format),
    /// As protobuf.
    Protobuf,
}

/// A target's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) encoding: Encoding,
}

/// Asks the targets of a job.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: HttpClient,
    accept: HeaderValue,
}

impl Fetcher {
    pub(super) fn new(client: HttpClient, job: &Job) -> Self {
        let accept = accept(job);
        Self {
            client,
            accept: HeaderValue::from_str(&accept).expect("made of ASCII"),
        }
    }

    /// Asks `url`; the body is expected to have about `bytes`.
    pub(super) async fn fetch(
        &self,
        job: &Job,
        url: &Url,
        timeout: Duration,
        bytes: usize,
    ) -> Result<Answer, Error> {
        let failed = |source: client::Error| match source {
            client::Error::BodySize => Error::BodySize,
            source => Error::Request {
                url: url.to_string(),
                source,
            },
        };
        let ask = async {
            let request = self.client.request(Method::GET, url.clone()).await;
            let mut request = request
                .map_err(failed)?
                .header(ACCEPT, self.accept.clone())
                .header("X-Prometheus-Scrape-Timeout-Seconds", seconds(timeout));
            if !job.compression {
                request = request.header(ACCEPT_ENCODING, "identity");
            }
            let response = request.send().await.map_err(|e| failed(e.into()))?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(Error::Status(response.status()));
            }
            let content_type = response.headers().get(CONTENT_TYPE);
            let content_type = content_type
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            let encoding = encoding(content_type, job.fallback);
            let limit = match job.shared.limits.body_bytes {
                0 => BODY_BYTES_MAX,
                limit => usize::try_from(limit).unwrap_or(usize::MAX),
            };
            let body = read_body(response, limit, bytes).await.map_err(failed)?;
            // Nothing exposed is an answer of any type.
            let encoding = match encoding {
                Err(_) if body.is_empty() => Encoding::Text(Format::Text),
                encoding => encoding?,
            };
            Ok(Answer { body, encoding })
        };
        let answer = tokio::time::timeout(timeout, ask).await;
        answer.unwrap_or_else(|_| Err(Error::Timeout(url.to_string())))
    }
}

fn seconds(timeout: Duration) -> String {
    timeout.as_secs_f64().to_string()
}

/// The formats that a job asks for, the best with the highest weight.
fn accept(job: &Job) -> String {
    let escaping = job.shared.escaping.as_str();
    let mut weight = 6;
    let mut header = String::new();
    for protocol in &job.shared.protocols {
        let (media_type, escapes) = match protocol {
            Protocol::Protobuf => (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                false,
            ),
            Protocol::Text004 => ("text/plain;version=0.0.4", false),
            Protocol::Text100 => ("text/plain;version=1.0.0", true),
            Protocol::OpenMetrics001 => ("application/openmetrics-text;version=0.0.1", false),
            Protocol::OpenMetrics100 => ("application/openmetrics-text;version=1.0.0", true),
        };
        header.push_str(media_type);
        if escapes {
            header.push_str(&format!(";escaping={escaping}"));
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    header + &format!("*/*;q=0.{weight}")
}

/// How a body of this type is read.
fn encoding(content_type: &str, fallback: Option<Protocol>) -> Result<Encoding, Error> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "text/plain" => return Ok(Encoding::Text(Format::Text)),
        "application/openmetrics-text" => return Ok(Encoding::Text(Format::OpenMetrics)),
        "application/vnd.google.protobuf" => return Ok(Encoding::Protobuf),
        _ => {}
    }
    match fallback {
        Some(Protocol::Protobuf) => Ok(Encoding::Protobuf),
        Some(Protocol::Text004 | Protocol::Text100) => Ok(Encoding::Text(Format::Text)),
        Some(Protocol::OpenMetrics001 | Protocol::OpenMetrics100) => {
            Ok(Encoding::Text(Format::OpenMetrics))
        }
        None if content_type.is_empty() => Err(Error::NoContentType),
        None => Err(Error::ContentType(content_type.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn accept_of(lines: &str) -> String {
        let text = format!("scrape_configs:\n- job_name: j\n{lines}");
        accept(&Config::parse(&text, Path::new("/")).expect(lines).jobs[0])
    }

    #[test]
    fn formats_are_asked_for_as_prometheus_does() {
        assert_eq!(
            accept_of(""),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_of("  scrape_native_histograms: true\n"),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
        assert_eq!(
            accept_of(
                "  scrape_protocols: [PrometheusText1.0.0]\n  metric_name_escaping_scheme: dots\n"
            ),
            "text/plain;version=1.0.0;escaping=dots;q=0.6,*/*;q=0.5"
        );
        assert_eq!(seconds(Duration::from_millis(10_000)), "10");
        assert_eq!(seconds(Duration::from_millis(1_500)), "1.5");
    }

    #[test]
    fn bodies_are_read_as_they_say() {
        use Encoding::{Protobuf, Text};
        let check = |content_type: &str, fallback, expected: Result<Encoding, &str>| {
            let found = encoding(content_type, fallback).map_err(|e| e.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{content_type}");
        };
        check(
            "text/plain; version=0.0.4; charset=utf-8",
            None,
            Ok(Text(Format::Text)),
        );
        check(
            "Application/OpenMetrics-Text;version=1.0.0",
            None,
            Ok(Text(Format::OpenMetrics)),
        );
        check(
            "application/vnd.google.protobuf; encoding=delimited",
            None,
            Ok(Protobuf),
        );
        check(
            "",
            None,
            Err(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
        );
        check(
            "text/html",
            None,
            Err(
                "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
            ),
        );
        check(
            "text/html",
            Some(Protocol::OpenMetrics100),
            Ok(Text(Format::OpenMetrics)),
        );
    }
}
