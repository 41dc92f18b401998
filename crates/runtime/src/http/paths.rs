//! Under which paths a server is reached, and under which it is seen from outside.
//!
//! Behind a proxy, a server may have to answer below a path ([`WebPaths::serving_below`]), or to send
//! clients below one that the proxy takes off again. Handlers know of neither: they are given paths
//! from the root, and what they redirect to is led below the prefix on its way out. Health and figures
//! are answered at the root too, where probes of Thanos' components look for them.

use std::borrow::Cow;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::Origins;

/// Paths that are answered at the root, whatever the prefix.
const AT_ROOT: [&str; 3] = ["/-/healthy", "/-/ready", "/metrics"];

/// Where a server is reached: at the root, and by pages of any origin, unless said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebPaths {
    /// Everything is served below; empty for the root, else with a slash before and none behind.
    route_prefix: String,
    /// Where clients find the server, in the same form, when that is somewhere else.
    external_prefix: Option<String>,
    /// The header in which a proxy says so for each request.
    prefix_header: Option<HeaderName>,
    /// Pages of which origins may read answers.
    origins: Origins,
}

/// What a path that was asked for is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A path from the root.
    Inside(&'a str),
    /// Another path from the root is meant.
    Elsewhere(Cow<'a, str>),
    /// Nothing that is served.
    Outside,
}

impl WebPaths {
    /// Everything is served below this path.
    #[must_use]
    pub fn serving_below(mut self, path: &str) -> Self {
        self.route_prefix = prefix(path);
        self
    }

    /// Clients find the server below this path.
    #[must_use]
    pub fn seen_below(mut self, path: &str) -> Self {
        self.external_prefix = Some(prefix(path));
        self
    }

    /// A proxy says in this header below which path clients find the server.
    #[must_use]
    pub fn told_by(mut self, header: HeaderName) -> Self {
        self.prefix_header = Some(header);
        self
    }

    /// Pages of these origins may read answers.
    #[must_use]
    pub fn read_by(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Below which path everything is served; empty for the root.
    pub fn route_prefix(&self) -> &str {
        &self.route_prefix
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// What `path` is.
    pub(super) fn place<'a>(&self, path: &'a str) -> Place<'a> {
        let inside = match path.strip_prefix(self.route_prefix.as_str()) {
            Some("") if self.route_prefix.is_empty() => "/",
            // What a page links to is beside it, so that the slash matters.
            Some("") => return Place::Elsewhere(Cow::Borrowed("/")),
            Some(inside) if inside.starts_with('/') => inside,
            _ if AT_ROOT.contains(&path) => path,
            _ if path == "/" => return Place::Elsewhere(Cow::Borrowed("/")),
            _ => return Place::Outside,
        };
        match cleaned(inside) {
            Some(clean) => Place::Elsewhere(Cow::Owned(clean)),
            None => Place::Inside(inside),
        }
    }

    /// Where a client with these headers finds the root; empty for the root itself.
    pub(super) fn seen_from(&self, headers: &HeaderMap) -> String {
        if let Some(external) = &self.external_prefix {
            return external.clone();
        }
        let said = self.prefix_header.as_ref();
        let said = said.and_then(|name| headers.get(name)?.to_str().ok());
        said.map_or_else(|| self.route_prefix.clone(), prefix)
    }

    /// Leads a redirect from the root below `root`, as a client sees it.
    pub(super) fn lead_below(root: &str, headers: &mut HeaderMap) {
        let Some(location) = headers.get(hyper::header::LOCATION) else {
            return;
        };
        let Some(path) = location.to_str().ok().filter(|to| to.starts_with('/')) else {
            return;
        };
        if let Ok(location) = HeaderValue::from_str(&format!("{root}{path}")) {
            headers.insert(hyper::header::LOCATION, location);
        }
    }
}

/// A prefix with a slash before and none behind; nothing for the root. More slashes would name
/// another host.
fn prefix(path: &str) -> String {
    match path.trim().trim_matches(['/', '\\']) {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// The path without empty segments, `.` and `..`, if it has any; a slash at its end stays.
fn cleaned(path: &str) -> Option<String> {
    let segments = path.strip_prefix('/').unwrap_or(path);
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    let inner = segments.strip_suffix('/').unwrap_or(segments);
    if inner.is_empty() && segments.is_empty() || !inner.split('/').any(is_odd) {
        return None;
    }
    let mut kept = Vec::new();
    for segment in inner.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if segments.ends_with('/') && !kept.is_empty() {
        clean.push('/');
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(prefix: &str, path: &str) -> String {
        match WebPaths::default().serving_below(prefix).place(path) {
            Place::Inside(path) => path.to_owned(),
            Place::Elsewhere(path) => format!("-> {path}"),
            Place::Outside => "none".to_owned(),
        }
    }

    #[test]
    fn paths_are_found_below_the_prefix() {
        for (prefix, path, expected) in [
            ("", "/", "/"),
            ("/", "/api/v1/query", "/api/v1/query"),
            ("/", "/prom/", "/prom/"),
            ("prom/", "/prom", "-> /"),
            ("/prom", "/prom/", "/"),
            ("/prom", "/prom/api/v1/query", "/api/v1/query"),
            ("/prom", "/prometheus", "none"),
            ("/prom", "/api/v1/query", "none"),
            ("/prom", "/", "-> /"),
            ("/prom", "/-/ready", "/-/ready"),
            ("/prom", "/prom/-/ready", "/-/ready"),
            ("/prom", "/metrics", "/metrics"),
            ("/a/b", "/a/b/x", "/x"),
        ] {
            assert_eq!(place(prefix, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn odd_paths_are_led_to_what_they_mean() {
        for (path, expected) in [
            ("//api/v1/query", "-> /api/v1/query"),
            ("/api//v1/./query", "-> /api/v1/query"),
            ("/api/v1/../v1/query", "-> /api/v1/query"),
            ("/../..", "-> /"),
            ("//", "-> /"),
            ("/metrics/job//", "-> /metrics/job/"),
            ("/a/b/", "/a/b/"),
        ] {
            assert_eq!(place("", path), expected, "{path}");
        }
    }

    #[test]
    fn clients_are_led_to_where_they_see_the_server() {
        let header = HeaderName::from_static("x-forwarded-prefix");
        let mut headers = HeaderMap::new();
        let paths = WebPaths::default()
            .serving_below("/a")
            .told_by(header.clone());
        assert_eq!(paths.seen_from(&headers), "/a");
        for (said, seen) in [
            ("/b", "/b"),
            ("//evil.example/", "/evil.example"),
            ("/", ""),
        ] {
            headers.insert(&header, HeaderValue::from_static(said));
            assert_eq!(paths.seen_from(&headers), seen);
        }
        let paths = paths.seen_below("c/");
        assert_eq!(paths.seen_from(&headers), "/c");
        for (location, expected) in [
            ("/", "/c/"),
            ("/?x=1", "/c/?x=1"),
            ("http://a/", "http://a/"),
        ] {
            let mut answer = HeaderMap::new();
            answer.insert(hyper::header::LOCATION, HeaderValue::from_static(location));
            WebPaths::lead_below("/c", &mut answer);
            assert_eq!(answer[hyper::header::LOCATION], expected);
        }
    }
}
