//! `POST /api/v1/blocks/mark`, with which a person marks a block for deletion, or as not to be
//! compacted, in Thanos' form.

use std::fmt::Display;
use std::sync::Arc;

use bucket::delete::{mark_for_deletion, mark_no_compact};
use bucket::{BlockObject, Bucket, NoCompactReason};
use runtime::Clock;
use runtime::http::{Cost, Handler, Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::runtime::Handle;
use ulid::Ulid;

/// Marks blocks of a bucket.
#[derive(Debug)]
pub struct MarkApi {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    is_allowed: bool,
}

/// Why a block is not marked.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

fn bad(text: impl Display) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        kind: "bad_data",
        text: text.to_string(),
    }
}

/// What is to be written at a block.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Deletion,
    NoCompaction,
}

impl MarkApi {
    /// Marks blocks of `bucket`, where that is allowed.
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>, is_allowed: bool) -> Self {
        Self {
            bucket,
            clock,
            is_allowed,
        }
    }

    fn mark(&self, request: &Request) -> Result<(), Refusal> {
        if !self.is_allowed {
            return Err(bad("admin operations are disabled"));
        }
        let form = request.form().map_err(bad)?;
        let said = |name: &str, what: &str| {
            let text = form.get(name).filter(|text| !text.is_empty());
            text.ok_or_else(|| bad(format_args!("{what} cannot be empty")))
        };
        let id: Ulid = (said("id", "ID")?.parse())
            .map_err(|error| bad(format_args!("the ID is no ULID: {error}")))?;
        let mark = match said("action", "Action")? {
            "DELETION" => Mark::Deletion,
            "NO_COMPACTION" => Mark::NoCompaction,
            other => {
                let text = format_args!(
                    "action {other:?} is not supported; use DELETION or NO_COMPACTION"
                );
                return Err(bad(text));
            }
        };
        let details = form.get("detail").unwrap_or_default();
        // The thread may block.
        Handle::current().block_on(self.write(id, mark, details))
    }

    async fn write(&self, id: Ulid, mark: Mark, details: &str) -> Result<(), Refusal> {
        let failed = |error: bucket::Error| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "internal",
            text: error.to_string(),
        };
        let meta = BlockObject::Meta(id).to_string();
        if self
            .bucket
            .attributes(&meta)
            .await
            .map_err(failed)?
            .is_none()
        {
            return Err(Refusal {
                status: StatusCode::NOT_FOUND,
                kind: "not_found",
                text: format!("there is no block {id} in the bucket"),
            });
        }
        let now_ms = self.clock.now_ms();
        let is_new = match mark {
            Mark::Deletion => mark_for_deletion(&self.bucket, id, details, now_ms).await,
            Mark::NoCompaction => {
                let reason = NoCompactReason::Manual;
                mark_no_compact(&self.bucket, id, reason, details, now_ms).await
            }
        };
        if is_new.map_err(failed)? {
            tracing::info!(block = %id, ?mark, details, "block is marked");
        }
        Ok(())
    }
}

impl Handler for MarkApi {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if request.method != Method::POST {
            return Response::not_allowed("OPTIONS, POST");
        }
        match self.mark(&request) {
            Ok(()) => Response::empty(StatusCode::NO_CONTENT),
            Err(Refusal { status, kind, text }) => {
                let body = json!({"status": "error", "errorType": kind, "error": text});
                Response::bytes(status, "application/json", body.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bucket::Patience;
    use runtime::ManualClock;
    use runtime::http::{Abandonment, HeaderMap};

    use super::*;

    const ID: &str = "01JZ0000000000000000000000";

    fn post(api: &MarkApi, form: &str) -> u16 {
        let request = Request {
            method: Method::POST,
            path: "/api/v1/blocks/mark".to_owned(),
            query: form.to_owned(),
            headers: HeaderMap::new(),
            body: Default::default(),
            peer: None,
            waited: std::time::Duration::ZERO,
            abandonment: Abandonment::default(),
        };
        api.handle(request).status().as_u16()
    }

    #[test]
    fn blocks_are_marked_for_who_may() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path().join(ID);
        std::fs::create_dir(&block).unwrap();
        std::fs::write(block.join("meta.json"), "{}").unwrap();
        let folder = serde_json::Value::from(dir.path().display().to_string());
        let yaml = format!("type: FILESYSTEM\nconfig: {{directory: {folder}}}\n");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        let bucket = Bucket::open(&yaml, Patience::Interactive).unwrap();
        let api = |is_allowed| {
            let clock = Arc::new(ManualClock::new(1_700_000_000_000));
            MarkApi::new(bucket.clone(), clock, is_allowed)
        };
        let delete = format!("id={ID}&action=DELETION&detail=why");
        let mark = block.join("deletion-mark.json");
        assert_eq!(post(&api(false), &delete), 400);
        let api = api(true);
        assert!(!mark.exists());
        for (form, status) in [
            ("", 400),
            ("id=x&action=DELETION", 400),
            (&format!("id={ID}"), 400),
            (&format!("id={ID}&action=OTHER"), 400),
            ("id=01JZ0000000000000000000001&action=DELETION", 404),
            (&delete, 204),
            (&delete, 204),
            (&format!("id={ID}&action=NO_COMPACTION"), 204),
        ] {
            assert_eq!(post(&api, form), status, "{form}");
        }
        let written: serde_json::Value =
            serde_json::from_slice(&std::fs::read(mark).unwrap()).unwrap();
        assert_eq!(written["details"], "why");
        assert_eq!(written["deletion_time"], 1_700_000_000);
        assert!(block.join("no-compact-mark.json").exists());
    }
}
