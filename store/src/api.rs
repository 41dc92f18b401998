//! What the store answers over HTTP: figures, and which blocks it serves. The server itself answers
//! the probes.

use std::io::{self, Write};
use std::sync::Arc;

use model::time::Rfc3339;
use runtime::http::{Cost, Handler, Method, Request, Response, StatusCode};
use runtime::metrics::{Collect, Exposition};
use tokio::runtime::Handle;
use ulid::Ulid;

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

/// What is known when an answer begins. Each `meta.json` is read when it is written into the answer,
/// since of all that are served at once not as much is held.
struct Shown {
    blocks: Vec<Ulid>,
    refreshed_at: String,
    error: Option<String>,
}

impl BlocksApi {
    /// Shows the blocks that `gateway` serves and those that `syncer` saw.
    pub fn new(gateway: Gateway, syncer: Arc<Syncer>) -> Self {
        Self { gateway, syncer }
    }

    fn shown(&self, view: Option<&str>) -> Option<Shown> {
        let seen = self.syncer.seen();
        let blocks = match view.unwrap_or("loaded") {
            "loaded" => self.gateway.blocks().iter().map(|b| b.id()).collect(),
            "global" => seen.blocks.iter().map(|outline| outline.id).collect(),
            _ => return None,
        };
        Some(Shown {
            blocks,
            refreshed_at: Rfc3339(seen.at_ms.unwrap_or_default()).to_string(),
            error: seen.error,
        })
    }
}

/// Writes the answer. A block that is gone by now is left out.
fn write(shown: &Shown, syncer: &Syncer, out: &mut dyn Write) -> io::Result<()> {
    // The thread may block.
    let runtime = Handle::current();
    let meta = |id| {
        let copy = syncer.copy_of_meta(id);
        copy.or_else(|| runtime.block_on(syncer.meta(id)).ok())
    };
    out.write_all(br#"{"status":"success","data":{"label":"","blocks":["#)?;
    for (i, meta) in shown.blocks.iter().copied().filter_map(meta).enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, &meta)?;
    }
    out.write_all(br#"],"refreshedAt":"#)?;
    serde_json::to_writer(&mut *out, &shown.refreshed_at)?;
    out.write_all(br#","err":"#)?;
    serde_json::to_writer(&mut *out, &shown.error)?;
    out.write_all(b"}}")
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
        let Some(shown) = self.shown(form.get("view")) else {
            let what = "view is not known; use loaded or global";
            return Response::text(StatusCode::BAD_REQUEST, what);
        };
        let syncer = Arc::clone(&self.syncer);
        Response::written(StatusCode::OK, "application/json", move |out| {
            write(&shown, &syncer, out)
        })
    }
}
