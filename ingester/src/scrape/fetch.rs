//! Asking a target for its exposition.

use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};

use super::body::{Answer, encoding};
use super::client::{self, HttpClient, read_body};
use super::error::Error;
use crate::config::{Job, Protocol};

/// What a body may have on its way, compressed or not, where the configuration sets no limit.
const BODY_BYTES_MAX: usize = 512 << 20;

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
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Scheme(url.to_string(), url.scheme().to_owned()));
        }
        let ask = async {
            let request = self.client.request(Method::GET, url.clone()).await;
            let accepted = if job.compression { "gzip" } else { "identity" };
            let request = request
                .map_err(failed)?
                .header(ACCEPT, self.accept.clone())
                .header(ACCEPT_ENCODING, accepted)
                .header("X-Prometheus-Scrape-Timeout-Seconds", seconds(timeout));
            let response = send(request).await.map_err(failed)?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(Error::Status(response.status()));
            }
            let header = |name| {
                let value = response.headers().get(name);
                value.and_then(|v| v.to_str().ok()).unwrap_or_default()
            };
            let encoding = encoding(header(CONTENT_TYPE), job.fallback);
            let is_gzip = header(CONTENT_ENCODING) == "gzip";
            // A body of the limit is over it already.
            let limit = match job.shared.limits.body_bytes {
                0 => BODY_BYTES_MAX,
                limit => usize::try_from(limit - 1).unwrap_or(usize::MAX),
            };
            let on_its_way = if is_gzip { BODY_BYTES_MAX } else { limit };
            let body = read_body(response, on_its_way, bytes)
                .await
                .map_err(failed)?;
            Ok(Answer {
                body,
                is_gzip,
                limit,
                encoding,
            })
        };
        let answer = tokio::time::timeout(timeout, ask).await;
        answer.unwrap_or_else(|_| Err(Error::Timeout(url.to_string())))
    }
}

/// Sends a request, and once more where the connection ended before any answer: it may have been
/// kept from the scrape before, and closed by the target just now.
async fn send(request: RequestBuilder) -> Result<Response, client::Error> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if client::is_closed_early(&error) => Ok(again.send().await?),
        (answer, _) => Ok(answer?),
    }
}

fn seconds(timeout: Duration) -> String {
    timeout.as_secs_f64().to_string()
}

/// The formats that a job asks for, the best with the highest weight.
fn accept(job: &Job) -> String {
    let escaping = job.shared.escaping.as_str();
    let mut weight = 7;
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
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=0.0.1;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
        );
        assert_eq!(
            accept_of("  scrape_native_histograms: true\n"),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_of(
                "  scrape_protocols: [PrometheusText1.0.0]\n  metric_name_escaping_scheme: dots\n"
            ),
            "text/plain;version=1.0.0;escaping=dots;q=0.7,*/*;q=0.6"
        );
        assert_eq!(seconds(Duration::from_millis(10_000)), "10");
        assert_eq!(seconds(Duration::from_millis(1_500)), "1.5");
    }
}
