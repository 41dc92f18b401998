//! Pages of which origins may read answers, and what pages of other sites may not have a browser do.
//!
//! Reading is let to pages of any origin, as in Prometheus, unless `--web.cors.origin` names some. What
//! changes something is refused to all pages but those of this server and those that the flag names: a
//! browser sends the password of its user along, and reaches addresses that its user does. Who is no
//! browser says no origin, and is let alone.

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use model::{MatchOp, Matcher, MatcherError};

/// Matches every origin, so that no page is named by it.
pub(crate) const ANY: &str = ".*";
/// Origins of nobody: a pattern that matches one of them matches everybody.
const ANYBODY: [&str; 2] = ["http://nobody.invalid", "https://nobody.invalid"];
/// What a browser says of who sends a request; pages cannot change it.
const SENT_FROM: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The host that a browser asked, where a proxy asks another. Pages of other sites cannot set it.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Pages of which origins may read answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// Of any.
    #[default]
    Any,
    /// Of none but the server's own.
    Own,
    /// Of those that match. They may change something too, unless the pattern matches any origin.
    Matching(Matcher),
}

impl Origins {
    /// Those that match a regular expression as a whole; [`ANY`] names none, and nothing matches none.
    ///
    /// # Errors
    /// [`MatcherError`] when it is none.
    pub fn matching(pattern: &str) -> Result<Self, MatcherError> {
        match pattern {
            "" => Ok(Self::Own),
            ANY => Ok(Self::Any),
            pattern => Matcher::new(MatchOp::Regex, "origin", pattern).map(Self::Matching),
        }
    }

    /// Says in an answer to a request of this origin whether its page may read it.
    pub(super) fn allow(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        let allowed = match self {
            Self::Own => return,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Matching(pattern) => matches(pattern, origin).then(|| origin.clone()),
        };
        if let Some(allowed) = allowed {
            answer.append(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        for (name, value) in [
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
            (header::VARY, "Origin"),
        ] {
            answer.append(name, HeaderValue::from_static(value));
        }
    }

    /// Why a request that may change something is refused, if a page of another site has it sent. What
    /// is asked by GET and such changes nothing.
    pub fn refusal(&self, method: &Method, headers: &HeaderMap) -> Option<String> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let origin = headers.get(header::ORIGIN);
        let is_own = match headers.get(SENT_FROM).map(HeaderValue::as_bytes) {
            Some(site) => matches!(site, b"same-origin" | b"none"),
            // Browsers say the above over TLS only, and the origin always.
            None => origin.is_none_or(|origin| is_of_host(origin, headers)),
        };
        if is_own || origin.is_some_and(|origin| self.names(origin)) {
            return None;
        }
        let origin = origin.map_or("another site".into(), |origin| {
            String::from_utf8_lossy(origin.as_bytes())
        });
        Some(format!(
            "a page of {origin} may not change anything here; only pages of this server may"
        ))
    }

    fn names(&self, origin: &HeaderValue) -> bool {
        match self {
            // Who lets any page read names none.
            Self::Matching(pattern) => {
                matches(pattern, origin) && !ANYBODY.iter().any(|any| pattern.matches(any))
            }
            Self::Any | Self::Own => false,
        }
    }
}

fn matches(pattern: &Matcher, origin: &HeaderValue) -> bool {
    (origin.to_str()).is_ok_and(|origin| pattern.matches(origin))
}

/// Whether an origin is at the host that was asked, or at the one a proxy was.
fn is_of_host(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some((scheme, host)) = origin.to_str().ok().and_then(|o| o.split_once("://")) else {
        return false;
    };
    // Browsers leave out the port that a scheme has anyhow, proxies may not.
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| {
        let host = host.trim().to_ascii_lowercase();
        host.strip_suffix(port).map_or(host.clone(), str::to_owned)
    };
    let asked = [header::HOST, FORWARDED_HOST];
    let asked = asked
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok());
    // Proxies behind each other name a host each.
    let mut asked = asked.flat_map(|hosts| hosts.split(','));
    asked.any(|asked| bare(asked) == bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(origins: &Origins, method: &Method, said: &[(HeaderName, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("here:1"));
        for (name, value) in said {
            headers.insert(name, HeaderValue::from_static(value));
        }
        origins.refusal(method, &headers).is_some()
    }

    #[test]
    fn who_is_no_page_of_another_site_may_change_something() {
        let origin = |value| (header::ORIGIN, value);
        let site = |value| (SENT_FROM, value);
        let check = |said: &[_], expected| {
            assert_eq!(
                refused(&Origins::Any, &Method::POST, said),
                expected,
                "{said:?}"
            );
            assert!(!refused(&Origins::Any, &Method::GET, said), "{said:?}");
        };
        check(&[], false);
        check(&[origin("http://here:1")], false);
        check(&[origin("https://here:1")], false);
        check(&[origin("http://here:2")], true);
        check(&[origin("http://there")], true);
        check(&[origin("null")], true);
        check(&[site("none")], false);
        check(&[site("same-origin"), origin("http://seen")], false);
        check(&[site("same-site"), origin("http://here:1")], true);
        check(&[site("cross-site")], true);
        for seen in ["seen", "Seen:443", "seen, inner"] {
            check(&[origin("https://seen"), (FORWARDED_HOST, seen)], false);
        }
        check(&[origin("http://seen"), (FORWARDED_HOST, "seen:443")], true);
    }

    #[test]
    fn named_origins_may_read_and_change() {
        let named = Origins::matching(r"https?://(a|b)\.example").unwrap();
        for (origin, is_named) in [
            ("http://a.example", true),
            ("https://b.example", true),
            ("https://b.example.evil", false),
            ("null", false),
        ] {
            let mut answer = HeaderMap::new();
            named.allow(&HeaderValue::from_static(origin), &mut answer);
            let allowed = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.is_some_and(|allowed| allowed == origin), is_named);
            assert_eq!(answer[header::VARY], "Origin");
            let said = [(header::ORIGIN, origin), (SENT_FROM, "cross-site")];
            assert_eq!(
                refused(&named, &Method::DELETE, &said),
                !is_named,
                "{origin}"
            );
        }
        for all in [".+", "(.*)", "https?://.*"] {
            let all = Origins::matching(all).unwrap();
            let mut answer = HeaderMap::new();
            all.allow(&HeaderValue::from_static("https://a"), &mut answer);
            assert!(answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
            let said = [(header::ORIGIN, "https://a"), (SENT_FROM, "cross-site")];
            assert!(refused(&all, &Method::POST, &said), "{all:?}");
        }
        assert_eq!(Origins::matching(ANY), Ok(Origins::Any));
        assert_eq!(Origins::matching(""), Ok(Origins::Own));
        assert!(Origins::matching("(").is_err());
    }
}
