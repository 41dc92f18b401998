//! Flags that say where a server's page and API are found, as Thanos and Prometheus mean them.

use hyper::header::HeaderName;

use crate::Error;
use crate::http::{ANY, Origins, WebPaths};

/// Flags of the page and the API.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WebFlags {
    /// URL under which clients find the page and the API, where that is not the address itself. Its
    /// path is the default of --web.route-prefix and --web.external-prefix.
    #[arg(
        long = "web.external-url",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    pub external_url: String,
    /// Path below which the page and the API are served; that of --web.external-prefix unless said.
    #[arg(
        long = "web.route-prefix",
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    pub route_prefix: String,
    /// Path below which clients find the page, for redirects, where a proxy takes it off.
    #[arg(
        long = "web.external-prefix",
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    pub external_prefix: String,
    /// Header in which a proxy says that path for each request. Ignored when the path is said; not for
    /// servers that clients reach without the proxy.
    #[arg(
        long = "web.prefix-header",
        value_name = "HEADER",
        default_value = "",
        hide_default_value = true
    )]
    pub prefix_header: String,
    /// Do not let pages of other origins read answers.
    #[arg(long = "web.disable-cors")]
    pub disable_cors: bool,
    /// Regular expression of the origins whose pages may read answers; those that it names may send
    /// what changes something too, unless it matches any origin, as ".*" does. All of an origin has to match:
    /// 'https?://(a|b)\.example'
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ANY)]
    pub cors_origin: String,
}

impl WebFlags {
    /// Checks what was said.
    ///
    /// # Errors
    /// [`Error::Flag`] for a URL that is none, a path that cannot be one, and a header that cannot.
    pub fn resolve(&self) -> Result<WebPaths, Error> {
        let of_url = url_path(&self.external_url)?;
        let external = match (self.external_prefix.as_str(), of_url) {
            ("", path) => path,
            (path, _) => Some(path.to_owned()),
        };
        let route = match self.route_prefix.as_str() {
            "" => external.clone().unwrap_or_default(),
            path => path.to_owned(),
        };
        for (flag, path) in [
            ("web.external-prefix", external.as_deref()),
            ("web.route-prefix", Some(route.as_str())),
        ] {
            check_path(flag, path.unwrap_or_default())?;
        }
        let mut paths = WebPaths::default().serving_below(&route);
        if let Some(external) = external {
            paths = paths.seen_below(&external);
        } else if !self.prefix_header.is_empty() {
            let name = self.prefix_header.parse();
            let name: HeaderName = name.map_err(|_| Error::Flag {
                flag: "web.prefix-header",
                reason: format!("{:?} cannot be the name of a header", self.prefix_header),
            })?;
            paths = paths.told_by(name);
        }
        let origins = Origins::matching(&self.cors_origin).map_err(|error| Error::Flag {
            flag: "web.cors.origin",
            reason: error.to_string(),
        })?;
        paths = paths.read_by(if self.disable_cors {
            Origins::Own
        } else {
            origins
        });
        Ok(paths)
    }
}

/// The path of a URL, or nothing where none is said.
fn url_path(url: &str) -> Result<Option<String>, Error> {
    if url.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::Flag {
        flag: "web.external-url",
        reason: format!("{url:?} is no URL; write one such as https://example.org/metrics"),
    };
    let uri: hyper::Uri = url.parse().map_err(|_| wrong())?;
    if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    Ok(Some(uri.path().to_owned()))
}

fn check_path(flag: &'static str, path: &str) -> Result<(), Error> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%".contains(c);
    if path.chars().all(is_fine) {
        return Ok(());
    }
    Err(Error::Flag {
        flag,
        reason: format!("{path:?} cannot be the path of a URL"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefixes_follow_from_one_another() {
        let flags = |url: &str, route: &str, external: &str| WebFlags {
            external_url: url.to_owned(),
            route_prefix: route.to_owned(),
            external_prefix: external.to_owned(),
            cors_origin: ANY.to_owned(),
            ..WebFlags::default()
        };
        let paths = WebPaths::default;
        for (said, expected) in [
            (flags("", "", ""), paths()),
            (flags("http://h", "", ""), paths().seen_below("/")),
            (
                flags("https://h:1/a/", "", ""),
                paths().serving_below("a").seen_below("a"),
            ),
            (flags("http://h/a", "/", ""), paths().seen_below("a")),
            (
                flags("", "", "/b"),
                paths().serving_below("b").seen_below("b"),
            ),
            (flags("", "/c", ""), paths().serving_below("c")),
            (
                flags("http://h/a", "", "b"),
                paths().serving_below("b").seen_below("b"),
            ),
        ] {
            assert_eq!(said.resolve().unwrap(), expected, "{said:?}");
        }
        for (said, flag) in [
            (flags("h/a", "", ""), "--web.external-url"),
            (flags("ftp://h/a", "", ""), "--web.external-url"),
            (flags("", "a b", ""), "--web.route-prefix"),
            (flags("", "", "a\"b"), "--web.external-prefix"),
            (
                WebFlags {
                    prefix_header: "a b".to_owned(),
                    ..WebFlags::default()
                },
                "--web.prefix-header",
            ),
            (
                WebFlags {
                    cors_origin: "(".to_owned(),
                    ..WebFlags::default()
                },
                "--web.cors.origin",
            ),
        ] {
            let error = said.resolve().unwrap_err().to_string();
            assert!(error.starts_with(flag), "{error}");
        }
    }
}
