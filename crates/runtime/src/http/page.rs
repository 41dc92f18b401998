//! Pages, and what browsers are told of every answer so that none is taken for something else.
//!
//! A page has its script and its style within it, and a policy that lets a browser run these and no
//! others, whatever else gets into the page. Answers that are no page may run nothing at all. What the
//! web configuration says of these headers comes after and wins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use ring::digest::{SHA256, digest};

use super::Response;

const HTML: &str = "text/html; charset=utf-8";
/// For what is no page of ours: nothing is run, fetched, sent or framed.
const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page whose script asks the server that it came from.
#[derive(Debug)]
pub struct Page {
    text: &'static str,
    policy: HeaderValue,
}

impl Page {
    /// The page with this text, of whose script and style browsers are told the hashes.
    pub fn new(text: &'static str) -> Self {
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            hashes(text, "script"),
            hashes(text, "style")
        );
        let policy = HeaderValue::try_from(policy).expect("hashes in base64 are visible ASCII");
        Self { text, policy }
    }

    /// The page, for who asks for it by `method`.
    pub fn answer(&self, method: &Method) -> Response {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Response::not_allowed("GET, HEAD, OPTIONS");
        }
        Response::bytes(StatusCode::OK, HTML, self.text)
            .with_header(header::CONTENT_SECURITY_POLICY, self.policy.clone())
    }
}

/// The hashes of what stands in elements of a name without attributes, as a policy has them.
fn hashes(text: &str, element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let inner = text.split(&begin).skip(1);
    let inner = inner.filter_map(|rest| rest.split(&end).next());
    let hashes = inner.map(|inner| {
        let hash = digest(&SHA256, inner.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(hash))
    });
    match hashes.collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => "'none'".to_owned(),
        hashes => hashes,
    }
}

/// Tells browsers of HTML that it is just that, that no page may frame it, that addresses of it stay
/// here, and what it may do unless that was said. Other answers have the headers of whoever they stand
/// in for, Prometheus or a Pushgateway.
pub(super) fn guard(headers: &mut HeaderMap) {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"text/html")) {
        return;
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| HeaderValue::from_static(NOTHING));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_the_script_and_the_style_of_its_page() {
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        let page = Page::new("<style>p{}</style><p>x</p><script>alert(1)</script>");
        let answer = page.answer(&Method::GET);
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str();
        let policy = policy.unwrap();
        let script = "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=';";
        assert!(policy.contains(script), "{policy}");
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.answer(&Method::POST).status(), 405);
        assert_eq!(hashes("<p>x</p>", "script"), "'none'");
    }

    #[test]
    fn html_that_is_no_page_may_do_nothing() {
        let answer = |kind| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            guard(&mut headers);
            headers
        };
        let html = answer("text/html");
        assert_eq!(html[header::CONTENT_SECURITY_POLICY], NOTHING);
        assert_eq!(html[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(html[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            answer("application/json").len(),
            1,
            "what it is, and no more"
        );
    }
}
