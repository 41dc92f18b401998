//! Lists of targets from HTTP servers.

use std::time::Duration;

use model::Labels;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::{Error, LIST_BYTES_MAX, Sink, json_groups, labels};
use crate::scrape::client::{self, HttpClient, read_body};

/// A server may take as long as Prometheus lets it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One server.
#[derive(Debug)]
pub(super) struct Source {
    url: String,
    client: HttpClient,
}

impl Source {
    pub(super) fn new(url: String, client: HttpClient) -> Self {
        Self { url, client }
    }

    pub(super) async fn watch(self, refresh: Duration, mut sink: Sink) {
        loop {
            match tokio::time::timeout(TIMEOUT, self.ask(refresh)).await {
                Ok(Ok(targets)) => {
                    sink.report(None);
                    sink.put(targets);
                }
                Ok(Err(error)) => sink.report(Some(self.error(&error.0))),
                Err(_) => sink.report(Some(self.error("no answer in time"))),
            }
            tokio::time::sleep(refresh).await;
        }
    }

    fn error(&self, reason: &str) -> Error {
        Error(format!("{}: {reason}", self.url))
    }

    async fn ask(&self, refresh: Duration) -> Result<Vec<Labels>, Error> {
        let failed = |error: client::Error| Error(error.to_string());
        let seconds = refresh.as_secs_f64().to_string();
        let request = self.client.request(Method::GET, &self.url).await;
        let request = request
            .map_err(failed)?
            .header(ACCEPT, "application/json")
            .header("X-Prometheus-Refresh-Interval-Seconds", seconds);
        let response = request.send().await.map_err(|e| failed(e.into()))?;
        if response.status() != reqwest::StatusCode::OK {
            let status = response.status();
            return Err(Error(format!("server returned HTTP status {status}")));
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        if !is_json(content_type) {
            return Err(Error(format!("unsupported content type {content_type:?}")));
        }
        let body = read_body(response, LIST_BYTES_MAX, 0)
            .await
            .map_err(failed)?;
        let groups = json_groups(&body)?;
        let meta = [("__meta_url", self.url.as_str())];
        Ok(groups.iter().flat_map(|g| labels(g, &meta)).collect())
    }
}

/// JSON, in UTF-8 if it says an encoding at all.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    let utf8 = |p: &str| {
        let charset = p
            .split_once('=')
            .filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
        charset.is_some_and(|(_, v)| v.trim_matches('"').eq_ignore_ascii_case("utf-8"))
    };
    json && parts.all(utf8)
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn content_types() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonp",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
