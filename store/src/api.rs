//! What the store answers over HTTP: figures, and which blocks it serves. The server itself answers
//! the probes.

use std::sync::Arc;

use model::time::Rfc3339;
use runtime::http::{Cost, Handler, Method, Request, Response, StatusCode};
use runtime::metrics::{Collect, Exposition};
use serde::{Serialize, Serializer};
use tsdb::block::Meta;

use crate::gateway::Gateway;
use crate::sync::Syncer;

/// Figures of the gateway, its syncs and its bucket.
#[derive(Debug)]
pub struct Figures {
    gateway: Gateway,
    syncer: Arc<Syncer>,
}

impl Figures {
    /// The figures of these two.
    pub fn new(gateway: Gateway, syncer: Arc<Syncer>) -> Self {
        Self { gateway, syncer }
    }
}

impl Collect for Figures {
    fn collect(&self, out: &mut Exposition) {
        self.gateway.collect(out);
        self.syncer.visit(&mut |figure| out.add(figure));
    }
}

/// Answers `/api/v1/blocks`, in Thanos' form.
#[derive(Debug)]
pub struct BlocksApi {
    gateway: Gateway,
    syncer: Arc<Syncer>,
}

/// Blocks as the API shows them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blocks {
    label: &'static str,
    #[serde(serialize_with = "metas")]
    blocks: Vec<Arc<Meta>>,
    refreshed_at: String,
    err: Option<String>,
}

fn metas<S: Serializer>(metas: &[Arc<Meta>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(metas.iter().map(|meta| &**meta))
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    data: Blocks,
}

impl BlocksApi {
    /// Shows the blocks that `gateway` serves and those that `syncer` saw.
    pub fn new(gateway: Gateway, syncer: Arc<Syncer>) -> Self {
        Self { gateway, syncer }
    }

    fn blocks(&self, view: Option<&str>) -> Option<Blocks> {
        let seen = self.syncer.seen();
        let blocks = match view.unwrap_or("loaded") {
            "loaded" => {
                let served = self.gateway.blocks();
                served.iter().map(|b| Arc::clone(b.meta())).collect()
            }
            "global" => {
                let blocks = seen.view.blocks.values();
                blocks.map(|b| Arc::clone(&b.meta)).collect()
            }
            _ => return None,
        };
        Some(Blocks {
            label: "",
            blocks,
            refreshed_at: Rfc3339(seen.at_ms.unwrap_or_default()).to_string(),
            err: seen.error,
        })
    }
}

impl Handler for BlocksApi {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if request.method != Method::GET && request.method != Method::HEAD {
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
        }
        let Ok(form) = request.form() else {
            return Response::text(StatusCode::BAD_REQUEST, "the query string is damaged");
        };
        let Some(data) = self.blocks(form.get("view")) else {
            let what = "view is not known; use loaded or global";
            return Response::text(StatusCode::BAD_REQUEST, what);
        };
        let answer = Answer {
            status: "success",
            data,
        };
        match serde_json::to_vec(&answer) {
            Ok(body) => Response::bytes(StatusCode::OK, "application/json", body),
            Err(e) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        }
    }
}
