//! A client of Prometheus' HTTP API.

mod config;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::{ErrorKind, Matcher, TimeRange};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use runtime::followed::{Followed, Seen};
use runtime::tls::{ClientTls, Protocol};
use runtime::{Error, process};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storeapi::catalog::Answer;
use storeapi::{StoreError, remote_read};

pub use config::ClientConfig;

/// Time to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long Prometheus may send nothing while it answers.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Bytes of an answer that is taken whole.
pub(crate) const BODY_BYTES_MAX: usize = 512 << 20;
/// Bytes of an answer that is an error.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// A Prometheus, or whatever answers as one.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Followed<reqwest::Client>>,
    url: String,
    config: ClientConfig,
    /// Sent with every request.
    headers: HeaderMap,
}

/// What every answer of the API is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Parameters of a request.
pub type Parameters = Vec<(&'static str, String)>;

impl Client {
    /// A client of the Prometheus at `url`, which has no slash at its end. Certificates and keys are
    /// read now, and again when their files change. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Start`] when certificates cannot be read.
    pub fn new(url: &str, config: &ClientConfig) -> Result<Self, Error> {
        let mut tls = config.tls();
        // Without TLS nothing is verified, so the system's authorities need not be there.
        tls.skip_verify |= url.starts_with("http://");
        let http = Followed::new("TLS of the client of Prometheus", move |seen| {
            speaking(&tls, seen)
        })?;
        Ok(Self {
            http,
            url: url.to_owned(),
            config: config.clone(),
            headers: HeaderMap::new(),
        })
    }

    /// The same, with further headers for every request.
    ///
    /// # Errors
    /// When a name or a value cannot be in a header.
    pub fn with_headers(mut self, headers: &[(String, String)]) -> Result<Self, StoreError> {
        for (name, value) in headers {
            let pair = HeaderName::try_from(name).ok();
            let pair = pair.zip(HeaderValue::try_from(value).ok());
            let (name, value) = pair.ok_or_else(|| {
                StoreError::new(
                    ErrorKind::Invalid,
                    format!("header {name:?} cannot be sent"),
                )
            })?;
            self.headers.append(name, value);
        }
        Ok(self)
    }

    /// Asks an endpoint of the API.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, refuses, or answers what cannot be read.
    pub async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<Answer<T>, StoreError> {
        let form = encoded(parameters);
        let response = if method == Method::POST {
            let mut headers = HeaderMap::new();
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, kind);
            self.send(method, path, headers, form.into()).await?
        } else {
            let separator = if form.is_empty() { "" } else { "?" };
            let path = format!("{path}{separator}{form}");
            let headers = HeaderMap::new();
            self.send(method, &path, headers, Bytes::new()).await?
        };
        let body = whole(response, BODY_BYTES_MAX).await?;
        // A list of series may be long.
        let envelope = process::blocking(move || serde_json::from_slice::<Envelope<T>>(&body));
        let envelope = envelope.await.map_err(|error| {
            unreadable(&format!("its answer is not what it should be: {error}"))
        })?;
        match envelope.data {
            Some(data) => Ok(Answer {
                data,
                warnings: envelope.warnings,
            }),
            None => Err(unreadable(&envelope.error)),
        }
    }

    /// The text of a page.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn page(&self, path: &str) -> Result<Bytes, StoreError> {
        let sent = self.send(Method::GET, path, HeaderMap::new(), Bytes::new());
        whole(sent.await?, BODY_BYTES_MAX).await
    }

    /// Tells it to do something, such as `/-/reload`.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, or refuses.
    pub async fn post(&self, path: &str) -> Result<(), StoreError> {
        let sent = self.send(Method::POST, path, HeaderMap::new(), Bytes::new());
        sent.await.map(drop)
    }

    /// Asks a question by remote read; the answer is still to be read.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn read(&self, question: Vec<u8>) -> Result<Response, StoreError> {
        let headers = [
            ("content-encoding", "snappy"),
            ("content-type", remote_read::CONTENT_TYPE_SAMPLES),
            ("x-prometheus-remote-read-version", remote_read::VERSION),
        ];
        let headers = headers.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let headers = headers.into_iter().collect();
        self.send(Method::POST, "/api/v1/read", headers, question.into())
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, StoreError> {
        if let Some(value) = self.authorization()? {
            headers.insert(AUTHORIZATION, value);
        }
        let http = self.http.now().await;
        let request = http.request(method, format!("{}{path}", self.url));
        let request = request.headers(self.headers.clone());
        let response = request.headers(headers).body(body).send().await;
        let response = response.map_err(|error| unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, StoreError> {
        let text = self.config.authorization().map_err(|error| {
            StoreError::new(
                ErrorKind::Unavailable,
                format!("credentials for Prometheus cannot be read: {error}"),
            )
        })?;
        let value = text.map(HeaderValue::try_from).transpose();
        let mut value = value.map_err(|_| {
            StoreError::new(
                ErrorKind::Invalid,
                "credentials for Prometheus do not fit in a header",
            )
        })?;
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Ok(value)
    }
}

/// A client that speaks TLS so.
fn speaking(tls: &ClientTls, seen: &mut Seen) -> Result<reqwest::Client, Error> {
    let tls = tls.load(Protocol::Http1, seen)?;
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIME_MAX)
        .read_timeout(SILENCE_MAX)
        .no_proxy()
        .tls_backend_preconfigured(tls);
    builder.build().map_err(|source| Error::Start {
        action: "set up the client of Prometheus".to_owned(),
        source: Box::new(source),
    })
}

fn encoded(parameters: &[(&'static str, String)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    form.finish()
}

/// Reads an answer of at most `max` bytes.
///
/// # Errors
/// When it is longer, or ends early.
pub(crate) async fn whole(mut response: Response, max: usize) -> Result<Bytes, StoreError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|e| unreachable(&e))? {
        if body.len() + piece.len() > max {
            return Err(StoreError::new(
                ErrorKind::Exhausted,
                format!("Prometheus' answer is longer than {max} bytes; ask for less"),
            ));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What an answer that is no success says.
async fn refusal(mut response: Response) -> StoreError {
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES_MAX
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    body.truncate(ERROR_BYTES_MAX);
    let reason = match serde_json::from_slice::<Envelope<serde_json::Value>>(&body) {
        Ok(envelope) if !envelope.error.is_empty() => envelope.error,
        _ => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    let kind = match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ErrorKind::Invalid,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ErrorKind::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => ErrorKind::Exhausted,
        _ => ErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("Prometheus answers {status}: {reason}"))
}

/// A failure on the way to Prometheus, with its cause, which the error itself leaves out.
pub(crate) fn unreachable(error: &reqwest::Error) -> StoreError {
    let causes = model::error::chain(error);
    let text = format!("Prometheus cannot be reached: {causes}");
    StoreError::new(ErrorKind::Unavailable, text)
}

fn unreadable(reason: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Unavailable,
        format!("Prometheus cannot be understood: {reason}"),
    )
}

/// The parameters of a question for labels or series.
pub fn selection(matchers: &[Matcher], range: TimeRange) -> Parameters {
    let mut parameters = Parameters::new();
    if !matchers.is_empty() {
        let mut parts: Vec<_> = matchers.iter().map(ToString::to_string).collect();
        if matchers.iter().all(Matcher::matches_empty) {
            // Prometheus wants one that does not accept the empty value; every series has a name.
            parts.push(r#"__name__!="""#.to_owned());
        }
        parameters.push(("match[]", format!("{{{}}}", parts.join(","))));
    }
    // Prometheus takes times near the ends of its clock for mistakes.
    if range.min > model::time::MIN_TIME_MS {
        parameters.push(("start", seconds(range.min)));
    }
    if range.max < model::time::MAX_TIME_MS {
        parameters.push(("end", seconds(range.max - 1)));
    }
    parameters
}

/// A time as the API takes it.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_written_as_prometheus_reads_them() {
        let up = Matcher::equal("job", "a\"b");
        let range = TimeRange::new(-1_500, 2_001);
        assert_eq!(
            selection(&[up], range),
            [
                ("match[]", r#"{job="a\"b"}"#.to_owned()),
                ("start", "-1.500".to_owned()),
                ("end", "2.000".to_owned()),
            ]
        );
        assert_eq!(selection(&[], TimeRange::ALL), []);
        let loose = selection(&[Matcher::equal("pod", "")], TimeRange::ALL);
        assert_eq!(loose[0].1, r#"{pod="",__name__!=""}"#);
    }
}
