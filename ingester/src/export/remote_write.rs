//! Remote write to another system, 1.0 and 2.0.
//!
//! As in Prometheus: 5xx, 429 and what fails on the way are sent again, after `Retry-After` where
//! that is said; any other answer but 2xx is final.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use tsdb::batch::Batch;

use super::{Sent, Target};
use crate::config::{MessageVersion, RemoteWrite};
use crate::messages::{Contents, encode_v1, encode_v2};
use crate::scrape::client::{self, Clients, HttpClient, read_body};

/// Bytes of an answer that are read, for what it says is wrong.
const ANSWER_BYTES_MAX: usize = 512;

/// A receiver of remote write.
#[derive(Debug)]
pub(super) struct RemoteWriteTarget {
    config: RemoteWrite,
    client: HttpClient,
}

impl RemoteWriteTarget {
    /// Makes the client; reads the certificates that it needs.
    pub(super) fn new(config: &RemoteWrite, clients: &Clients) -> Result<Self, client::Error> {
        Ok(Self {
            client: clients.client(&config.http, false)?,
            config: config.clone(),
        })
    }

    async fn post(&self, batch: &Batch) -> Sent {
        let contents = Contents {
            histograms: self.config.histograms,
            exemplars: self.config.exemplars,
        };
        let unsayable = match contents.histograms {
            true => 0,
            false => batch.iter().map(|s| s.histograms.len()).sum(),
        };
        let said = batch.sample_count() - unsayable;
        if said == 0 && !(contents.exemplars && batch.has_exemplars()) {
            return Sent {
                unsayable,
                ..Sent::default()
            };
        }
        let mut message = Vec::new();
        let (content_type, version) = match self.config.version {
            MessageVersion::V1 => {
                encode_v1(batch, contents, &mut message);
                ("application/x-protobuf", "0.1.0")
            }
            MessageVersion::V2 => {
                encode_v2(batch, contents, &mut message);
                (
                    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                    "2.0.0",
                )
            }
        };
        let body = snap::raw::Encoder::new().compress_vec(&message);
        let body = body.expect("a message of one request is smaller than 4 GiB");
        let timeout = self.config.timeout_ms.unsigned_abs();
        let answer = async {
            let request = self.client.request(Method::POST, &self.config.url).await?;
            let request = request
                .timeout(Duration::from_millis(timeout))
                .header(CONTENT_ENCODING, "snappy")
                .header(CONTENT_TYPE, content_type)
                .header("X-Prometheus-Remote-Write-Version", version)
                .body(body);
            Ok::<_, client::Error>(request.send().await?)
        };
        // What could not be asked may be asked later; a secret in a file may come to be.
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return Sent::nothing(error.to_string(), None),
        };
        let mut sent = match answer.status().is_success() {
            true => Sent {
                taken: said,
                ..Sent::default()
            },
            false => self.refusal(answer, said).await,
        };
        // Those of a batch that comes again are counted then.
        if sent.left.is_none() {
            sent.unsayable = unsayable;
        }
        sent
    }

    /// What an answer other than success means for so many samples.
    async fn refusal(&self, answer: Response, samples: usize) -> Sent {
        let status = answer.status();
        let after_ms = retry_after_ms(answer.headers());
        let text = read_body(answer, ANSWER_BYTES_MAX, 0)
            .await
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let said = format!("{status}: {}", text.lines().next().unwrap_or_default());
        let is_busy = status == StatusCode::TOO_MANY_REQUESTS && self.config.send.retry_on_429;
        if is_busy || status.is_server_error() {
            return Sent::nothing(said, after_ms);
        }
        let mut sent = Sent::default();
        sent.refuse(status.as_str(), samples, &said);
        sent
    }
}

impl Target for RemoteWriteTarget {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Sent> {
        self.post(batch).boxed()
    }
}

/// How long to wait, in milliseconds, where that is said in seconds; a date is not worth the clocks that would have to agree.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds
        .trim()
        .parse::<u64>()
        .ok()
        .map(|s| s.min(600) * 1000)
}
