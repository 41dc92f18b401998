//! The blocks of a bucket over HTTP, in Thanos' form: what whoever works on a bucket shows of it.
//!
//! `GET /api/v1/blocks?view=loaded|global` lists blocks, [`mark`] lets a person mark them, and a page
//! shows both. The store gateway, the compactor and `promontory bucket web` have them.

pub mod mark;
mod watch;

use std::io::{self, Write};
use std::sync::Arc;

use model::time::Rfc3339;
use runtime::http::{
    Cost, Handler, Method, Page, PathPattern, Request, Response, Routes, StatusCode,
};
use tsdb::block::Meta;
use ulid::Ulid;

pub use mark::MarkApi;
pub use watch::Watched;

/// The page.
const PAGE: &str = include_str!("block_viewer/page.html");
/// Where it is, by the names that Thanos' pages have.
const PAGES: [&str; 4] = ["/", "/blocks", "/global", "/loaded"];
/// When nothing was looked at yet, as Thanos says it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Which blocks are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Those that the component works with.
    Loaded,
    /// All in the bucket.
    Global,
}

/// Blocks, as they were when somebody looked last.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Which there are.
    pub blocks: Vec<Ulid>,
    /// When that was, in milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
    /// Why the last look failed, if it did.
    pub error: Option<String>,
}

/// Knows blocks.
pub trait Blocks: Send + Sync + 'static {
    /// The blocks of a view, from memory.
    fn listed(&self, view: View) -> Listed;

    /// What the `meta.json` of a block says, which may have to be read; nothing when it is gone by now.
    /// The thread may block.
    fn meta(&self, id: Ulid) -> Option<Arc<Meta>>;
}

/// Answers `/api/v1/blocks`.
pub struct BlocksApi {
    blocks: Arc<dyn Blocks>,
    label: String,
}

impl std::fmt::Debug for BlocksApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlocksApi").finish_non_exhaustive()
    }
}

/// What is known when an answer begins. Each `meta.json` is had when it is written into the answer,
/// since of all that are served at once not as much is held.
struct Shown {
    blocks: Arc<dyn Blocks>,
    listed: Listed,
    label: String,
}

impl Shown {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let at_ms = self.listed.at_ms;
        let at = at_ms.map_or(NEVER.to_owned(), |at| Rfc3339(at).to_string());
        out.write_all(br#"{"status":"success","data":{"label":"#)?;
        serde_json::to_writer(&mut *out, &self.label)?;
        out.write_all(br#","blocks":["#)?;
        let ids = self.listed.blocks.iter();
        for (n, meta) in ids.filter_map(|id| self.blocks.meta(*id)).enumerate() {
            if n > 0 {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, &*meta)?;
        }
        out.write_all(br#"],"refreshedAt":"#)?;
        serde_json::to_writer(&mut *out, &at)?;
        out.write_all(br#","err":"#)?;
        serde_json::to_writer(&mut *out, &self.listed.error)?;
        out.write_all(b"}}")
    }
}

impl BlocksApi {
    /// Shows these blocks; `label` is the external label that the page groups them by, and may be empty.
    pub fn new(blocks: Arc<dyn Blocks>, label: &str) -> Self {
        Self {
            blocks,
            label: label.to_owned(),
        }
    }
}

impl Handler for BlocksApi {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if request.method != Method::GET && request.method != Method::HEAD {
            return Response::not_allowed("GET, HEAD, OPTIONS");
        }
        let Ok(form) = request.form() else {
            return Response::text(StatusCode::BAD_REQUEST, "the query string is damaged");
        };
        // As in Thanos, everything but the one word is the bucket.
        let view = match form.get("view") {
            Some("loaded") => View::Loaded,
            _ => View::Global,
        };
        let shown = Shown {
            blocks: Arc::clone(&self.blocks),
            listed: self.blocks.listed(view),
            label: self.label.clone(),
        };
        Response::written(StatusCode::OK, "application/json", move |out| {
            shown.write(out)
        })
    }
}

/// Answers with the page.
#[derive(Debug)]
struct Viewer(Page);

impl Handler for Viewer {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        self.0.answer(&request.method)
    }
}

/// `routes` with the list, the marks and the page, for a component that has no page of its own.
#[must_use]
pub fn add_to(routes: Routes, blocks: BlocksApi, marks: MarkApi) -> Routes {
    let routes = routes
        .with(PathPattern::Exact("/api/v1/blocks"), Arc::new(blocks))
        .with(PathPattern::Exact("/api/v1/blocks/mark"), Arc::new(marks));
    let page = Arc::new(Viewer(Page::new(PAGE)));
    PAGES.into_iter().fold(routes, |routes, path| {
        routes.with(
            PathPattern::Exact(path),
            Arc::<Viewer>::clone(&page) as Arc<_>,
        )
    })
}

#[cfg(test)]
mod tests {
    use model::TimeRange;
    use runtime::http::{Abandonment, HeaderMap};

    use super::*;

    struct Two;

    impl Blocks for Two {
        fn listed(&self, view: View) -> Listed {
            let ids = match view {
                View::Loaded => 1..2,
                View::Global => 1..3,
            };
            Listed {
                blocks: ids.map(|n| Ulid::from_parts(n, 0)).collect(),
                at_ms: (view == View::Loaded).then_some(0),
                error: None,
            }
        }

        fn meta(&self, id: Ulid) -> Option<Arc<Meta>> {
            Some(Arc::new(Meta::new(id, TimeRange::new(0, 10))))
        }
    }

    fn ask(path: &str, query: &str) -> (u16, String) {
        let clock = Arc::new(runtime::ManualClock::new(0));
        let marks = MarkApi::new(bucket::Bucket::in_memory(), clock, false);
        let api = BlocksApi::new(Arc::new(Two), "cluster");
        let routes = add_to(Routes::new(), api, marks);
        let answer = routes.handle(Request {
            method: Method::GET,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Default::default(),
            peer: None,
            waited: std::time::Duration::ZERO,
            abandonment: Abandonment::default(),
        });
        let status = answer.status().as_u16();
        let body = answer.into_bytes().unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn views_differ() {
        for (query, count, at) in [
            ("view=loaded", 1, "1970-01-01T00:00:00Z"),
            ("view=global", 2, NEVER),
            ("", 2, NEVER),
            ("view=x", 2, NEVER),
        ] {
            let (status, body) = ask("/api/v1/blocks", query);
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &body["status"]), (200, &"success".into()));
            let data = &body["data"];
            assert_eq!(data["blocks"].as_array().unwrap().len(), count, "{query}");
            assert_eq!(
                (&data["refreshedAt"], &data["err"]),
                (&at.into(), &().into())
            );
            assert_eq!(data["label"], "cluster");
        }
    }

    #[test]
    fn pages_are_there() {
        for path in PAGES {
            let (status, body) = ask(path, "");
            assert!(status == 200 && body.contains("<h1>"), "{path}");
        }
        assert_eq!(ask("/other", "").0, 404);
    }
}
