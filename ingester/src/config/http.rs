//! How requests to targets and to HTTP discovery are made: credentials, TLS, proxies, redirects.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::authorization::{Authorization, authorization};
use super::yaml::{Node, Section};

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A secret, or the file that holds it, which is read for every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Given in the configuration.
    Inline(Secret),
    /// The path of the file.
    File(PathBuf),
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2, the oldest that is spoken.
    V12,
    /// 1.3.
    V13,
}

/// PEM text, or the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    /// Given in the configuration.
    Inline(Secret),
    /// The path of the file, which is read when clients are made, and again when it changes.
    File(PathBuf),
}

/// How TLS is spoken with servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// Who may have signed a server's certificate; without it, whom the system trusts.
    pub ca: Option<Pem>,
    /// Our certificate.
    pub cert: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
    /// The name that a server's certificate must be for, if not the one in the URL.
    pub server_name: Option<String>,
    /// Any certificate will do.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest version that is spoken.
    pub max_version: Option<TlsVersion>,
}

impl TlsConfig {
    /// The files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = [&self.ca, &self.cert, &self.key].into_iter().flatten();
        let file = |pem: &Pem| match pem {
            Pem::File(path) => Some(path.clone()),
            Pem::Inline(_) => None,
        };
        files.filter_map(file).collect()
    }
}

/// Which proxy requests go through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyConfig {
    /// Its URL.
    pub url: Option<String>,
    /// Hosts and networks that are asked without it, separated by commas.
    pub none_for: Option<String>,
    /// It is the one that the environment names.
    pub from_environment: bool,
    /// Headers of the request that asks it for a tunnel.
    pub connect_headers: Vec<(String, Secret)>,
}

/// How requests are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The `Authorization` header.
    pub authorization: Option<Authorization>,
    /// TLS.
    pub tls: TlsConfig,
    /// The way through a proxy.
    pub proxy: ProxyConfig,
    /// Redirects are followed.
    pub follow_redirects: bool,
    /// Further headers.
    pub headers: Vec<(String, SecretSource)>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            authorization: None,
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            follow_redirects: true,
            headers: Vec::new(),
        }
    }
}

/// Paths in the configuration are relative to its file.
pub(super) fn resolve(dir: &Path, path: &str) -> PathBuf {
    dir.join(path)
}

/// Reads the fields that configure requests, which stand among others of `section`.
pub(super) fn http_config(
    section: &mut Section<'_>,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Result<HttpConfig, Error> {
    let mut http = HttpConfig {
        authorization: authorization(section, dir, warnings)?,
        ..HttpConfig::default()
    };
    section.set("tls_config", &mut http.tls, |node| tls_config(node, dir))?;
    http.proxy = proxy_config(section, warnings)?;
    section.set("follow_redirects", &mut http.follow_redirects, Node::bool)?;
    if section.optional("enable_http2", Node::bool)? == Some(true) {
        warnings.push(format!(
            "line {}: enable_http2 is not acted on: requests are made with HTTP/1.1",
            section.at
        ));
    }
    if let Some(headers) = section.field("http_headers") {
        http.headers = http_headers(headers, dir)?;
    }
    Ok(http)
}

/// Reads the fields that name a proxy, which stand among others of `section`.
pub(super) fn proxy_config(
    section: &mut Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<ProxyConfig, Error> {
    let mut proxy = ProxyConfig {
        url: section.optional("proxy_url", Node::text)?,
        none_for: section.optional("no_proxy", Node::text)?,
        ..ProxyConfig::default()
    };
    section.set(
        "proxy_from_environment",
        &mut proxy.from_environment,
        Node::bool,
    )?;
    if let Some(headers) = section.field("proxy_connect_header") {
        for (name, values) in headers.map()? {
            let values = values.texts()?.into_iter();
            let named = values.map(|value| (name.clone(), Secret(value)));
            proxy.connect_headers.extend(named);
        }
    }
    if proxy.from_environment && (proxy.url.is_some() || proxy.none_for.is_some()) {
        return Err(Error::at(
            section.at,
            "if proxy_from_environment is configured, proxy_url and no_proxy must not be configured",
        ));
    }
    if proxy.none_for.is_some() && proxy.url.is_none() {
        return Err(Error::at(
            section.at,
            "if no_proxy is configured, proxy_url must also be configured",
        ));
    }
    if !proxy.connect_headers.is_empty() && proxy.url.is_none() && !proxy.from_environment {
        return Err(Error::at(
            section.at,
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        ));
    }
    if !proxy.connect_headers.is_empty() && proxy.from_environment {
        warnings.push(format!(
            "line {}: proxy_connect_header is not acted on with proxy_from_environment; use proxy_url",
            section.at
        ));
    }
    Ok(proxy)
}

fn http_headers(node: &Node, dir: &Path) -> Result<Vec<(String, SecretSource)>, Error> {
    let mut headers = Vec::new();
    for (name, sources) in node.map()? {
        let mut section = sources.section("config.Header")?;
        for field in ["values", "secrets"] {
            let values = section.optional(field, Node::texts)?.unwrap_or_default();
            let inline = |value| (name.clone(), SecretSource::Inline(Secret(value)));
            headers.extend(values.into_iter().map(inline));
        }
        let files = section.optional("files", Node::texts)?.unwrap_or_default();
        let file = |path: String| (name.clone(), SecretSource::File(resolve(dir, &path)));
        headers.extend(files.into_iter().map(file));
        section.finish()?;
    }
    Ok(headers)
}

/// Adds the headers that whoever is written to has in a field of its own.
pub(super) fn own_headers(section: &mut Section<'_>, http: &mut HttpConfig) -> Result<(), Error> {
    if let Some(headers) = section.field("headers") {
        for (name, value) in headers.text_map()? {
            let value = SecretSource::Inline(Secret(value));
            http.headers.push((name, value));
        }
    }
    Ok(())
}

/// A secret that is given by one of two fields.
pub(super) fn secret(
    section: &mut Section<'_>,
    (inline, file): (&str, &str),
    dir: &Path,
) -> Result<Option<SecretSource>, Error> {
    let given = section
        .optional(inline, Node::text)?
        .filter(|s| !s.is_empty());
    let path = section
        .optional(file, Node::text)?
        .filter(|s| !s.is_empty());
    match (given, path) {
        (Some(_), Some(_)) => Err(Error::at(
            section.at,
            format!("at most one of {inline} & {file} must be configured"),
        )),
        (Some(text), None) => Ok(Some(SecretSource::Inline(Secret(text)))),
        (None, Some(path)) => Ok(Some(SecretSource::File(resolve(dir, &path)))),
        (None, None) => Ok(None),
    }
}

fn pem(
    section: &mut Section<'_>,
    (inline, file): (&str, &str),
    dir: &Path,
) -> Result<Option<Pem>, Error> {
    Ok(
        secret(section, (inline, file), dir)?.map(|source| match source {
            SecretSource::Inline(text) => Pem::Inline(text),
            SecretSource::File(path) => Pem::File(path),
        }),
    )
}

pub(super) fn tls_config(node: &Node, dir: &Path) -> Result<TlsConfig, Error> {
    let mut section = node.section("config.plain")?;
    let mut tls = TlsConfig {
        ca: pem(&mut section, ("ca", "ca_file"), dir)?,
        cert: pem(&mut section, ("cert", "cert_file"), dir)?,
        key: pem(&mut section, ("key", "key_file"), dir)?,
        server_name: section.optional("server_name", Node::text)?,
        min_version: section.optional("min_version", tls_version)?,
        max_version: section.optional("max_version", tls_version)?,
        insecure_skip_verify: false,
    };
    tls.server_name = tls.server_name.filter(|name| !name.is_empty());
    section.set(
        "insecure_skip_verify",
        &mut tls.insecure_skip_verify,
        Node::bool,
    )?;
    let line = section.at;
    section.finish()?;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => Err(Error::at(
            line,
            "exactly one of key or key_file must be configured when a client certificate is configured",
        )),
        (None, Some(_)) => Err(Error::at(
            line,
            "exactly one of cert or cert_file must be configured when a client key is configured",
        )),
        _ => Ok(tls),
    }
}

fn tls_version(node: &Node) -> Result<TlsVersion, Error> {
    match node.text()?.as_str() {
        "TLS12" => Ok(TlsVersion::V12),
        "TLS13" => Ok(TlsVersion::V13),
        "TLS10" | "TLS11" => Err(Error::at(
            node.at,
            "TLS versions before 1.2 are not spoken; use TLS12 or TLS13",
        )),
        other => Err(Error::at(node.at, format!("unknown TLS version: {other}"))),
    }
}
