//! Several handlers behind one server.

use std::fmt;
use std::sync::Arc;

use hyper::StatusCode;

use super::{Cost, Handler, Request, Response};

/// Which requests a handler gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathPattern {
    /// Those for this path.
    Exact(&'static str),
    /// Those for paths that start with this.
    Prefix(&'static str),
}

impl PathPattern {
    fn accepts(self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
        }
    }

    /// Exact paths go before prefixes, long prefixes before short ones.
    const fn rank(self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Prefix(prefix) => prefix.len(),
        }
    }
}

/// A handler made of handlers: the one whose pattern is most exact gets the request, of equals the
/// one that was added first.
#[derive(Default, Clone)]
pub struct Routes {
    routes: Vec<(PathPattern, Arc<dyn Handler>)>,
}

impl Routes {
    /// Answers nothing but 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more handler.
    #[must_use]
    pub fn with(mut self, pattern: PathPattern, handler: Arc<dyn Handler>) -> Self {
        let at = (self.routes).partition_point(|(other, _)| other.rank() >= pattern.rank());
        self.routes.insert(at, (pattern, handler));
        self
    }

    fn find(&self, path: &str) -> Option<&Arc<dyn Handler>> {
        let mut routes = self.routes.iter();
        let found = routes.find(|(pattern, _)| pattern.accepts(path))?;
        Some(&found.1)
    }
}

impl Handler for Routes {
    fn cost(&self, path: &str) -> Cost {
        (self.find(path)).map_or(Cost::Small, |handler| handler.cost(path))
    }

    fn only_reads(&self, path: &str) -> bool {
        (self.find(path)).is_none_or(|handler| handler.only_reads(path))
    }

    fn handle(&self, request: Request) -> Response {
        match self.find(&request.path) {
            Some(handler) => handler.handle(request),
            None => Response::text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.routes.iter().map(|(pattern, _)| pattern);
        f.debug_list().entries(patterns).finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::{HeaderMap, Method};

    use super::super::Abandonment;
    use super::*;

    struct Named(&'static str);

    impl Handler for Named {
        fn cost(&self, _: &str) -> Cost {
            Cost::Small
        }

        fn handle(&self, _: Request) -> Response {
            Response::text(StatusCode::OK, self.0)
        }
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let routes = Routes::new()
            .with(PathPattern::Prefix("/"), Arc::new(Named("root")))
            .with(
                PathPattern::Exact("/api/v1/write"),
                Arc::new(Named("write")),
            )
            .with(PathPattern::Prefix("/api/"), Arc::new(Named("api")))
            .with(PathPattern::Prefix("/api/"), Arc::new(Named("late")));
        for (path, name) in [
            ("/", "root"),
            ("/api", "root"),
            ("/api/v1/query", "api"),
            ("/api/v1/write", "write"),
            ("/api/v1/write/", "api"),
        ] {
            let request = Request {
                method: Method::GET,
                path: path.to_owned(),
                query: String::new(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                peer: None,
                waited: std::time::Duration::ZERO,
                abandonment: Abandonment::default(),
            };
            let body = routes.handle(request).into_bytes().unwrap();
            assert_eq!(body, format!("{name}\n"), "{path}");
        }
    }
}
