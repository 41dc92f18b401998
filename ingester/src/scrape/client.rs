//! HTTP clients for targets and for discovery: TLS, credentials, proxies, redirects, bounded bodies.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, IntoUrl, Method, NoProxy, Proxy, RequestBuilder, Response};
use runtime::followed::Followed;
use runtime::tls::{AnyCertificate, Named};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::oauth2::Tokens;
use crate::config::{
    Authorization, HttpConfig, Pem, ProxyConfig, SecretSource, TlsConfig, TlsVersion,
};

const USER_AGENT: &str = concat!("promontory/", env!("CARGO_PKG_VERSION"));
const REDIRECTS_MAX: usize = 10;

/// Why a client cannot be made, or a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file that the configuration names.
    #[error("unable to read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// A certificate, key or proxy that cannot be used.
    #[error("{0}")]
    Config(String),
    /// A request that failed on its way.
    #[error("{}", chain(.0))]
    Request(#[from] reqwest::Error),
    /// A server that gives out tokens gave none.
    #[error("oauth2: cannot fetch token: {0}")]
    Token(String),
    /// An answer that is too long.
    #[error("body size limit exceeded")]
    BodySize,
}

/// The causes of a failed request, outermost first, without the URL that all of them name.
fn chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "context deadline exceeded".to_owned();
    }
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if text.is_empty() {
        return error.to_string();
    }
    text
}

/// Makes clients; clones share what clients do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients {
    system_roots: Arc<OnceLock<Arc<RootCertStore>>>,
}

/// What makes requests as a configuration says, with what its files say when they are made.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    config: HttpConfig,
    client: Current,
    /// Where tokens come from, if requests need them.
    tokens: Option<Arc<Tokens>>,
}

#[derive(Debug, Clone)]
enum Current {
    /// No file says anything about it.
    Fixed(Client),
    Followed(Arc<Followed<Client>>),
}

impl HttpClient {
    /// A request with credentials and the further headers that are configured; files with secrets are
    /// read each time.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: impl IntoUrl,
    ) -> Result<RequestBuilder, Error> {
        let request = match &self.client {
            Current::Fixed(client) => client.request(method, url),
            Current::Followed(client) => client.now().await.request(method, url),
        };
        let request = authorize(request, &self.config).await?;
        match &self.tokens {
            Some(tokens) => Ok(request.header(AUTHORIZATION, Box::pin(tokens.header()).await?)),
            None => Ok(request),
        }
    }
}

impl Clients {
    /// A client for requests as `http` says. Certificates and keys are read from the files that it
    /// names, and again when these change; what cannot be used then changes nothing. With
    /// `compression`, compressed answers are asked for and decompressed.
    pub(crate) fn client(&self, http: &HttpConfig, compression: bool) -> Result<HttpClient, Error> {
        let tokens = match &http.authorization {
            Some(Authorization::OAuth2(oauth2)) => Some(Arc::new(Tokens::new(oauth2, self)?)),
            _ => None,
        };
        Ok(HttpClient {
            client: self.current(http, compression)?,
            config: http.clone(),
            tokens,
        })
    }

    fn current(&self, http: &HttpConfig, compression: bool) -> Result<Current, Error> {
        let files = http.tls.files();
        if files.is_empty() {
            return Ok(Current::Fixed(self.made(http, compression)?));
        }
        let (clients, http) = (self.clone(), http.clone());
        let followed = Followed::new("TLS of an HTTP client", move |seen| {
            for file in &files {
                seen.note(file);
            }
            let made = clients.made(&http, compression);
            made.map_err(|source| runtime::Error::Start {
                action: "make an HTTP client".to_owned(),
                source: Box::new(source),
            })
        });
        let why = |error: runtime::Error| {
            let source = error.source().map(ToString::to_string);
            Error::Config(source.unwrap_or_else(|| error.to_string()))
        };
        Ok(Current::Followed(followed.map_err(why)?))
    }

    fn made(&self, http: &HttpConfig, compression: bool) -> Result<Client, Error> {
        let secret_headers = !http.headers.is_empty();
        let redirects = if http.follow_redirects {
            Policy::custom(move |attempt| {
                let from = attempt.previous().last();
                let other_host = from.is_some_and(|url| {
                    (url.host_str(), url.port_or_known_default())
                        != (
                            attempt.url().host_str(),
                            attempt.url().port_or_known_default(),
                        )
                });
                if attempt.previous().len() > REDIRECTS_MAX {
                    attempt.error("stopped after 10 redirects")
                } else if other_host && secret_headers {
                    // Headers of one's own may be secrets as well, and would be sent along.
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            })
        } else {
            Policy::none()
        };
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirects)
            .referer(false)
            .gzip(compression)
            .connect_timeout(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(300))
            .pool_max_idle_per_host(2)
            .tls_backend_preconfigured(self.tls(&http.tls)?);
        if !http.proxy.from_environment {
            builder = builder.no_proxy();
        }
        for proxy in proxies(&http.proxy)? {
            builder = builder.proxy(proxy);
        }
        Ok(builder.build()?)
    }

    fn tls(&self, tls: &TlsConfig) -> Result<ClientConfig, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let newer = |oldest: TlsVersion| tls.min_version.is_none_or(|min| min <= oldest);
        let older = |newest: TlsVersion| tls.max_version.is_none_or(|max| max >= newest);
        let mut versions = Vec::new();
        if newer(TlsVersion::V13) && older(TlsVersion::V13) {
            versions.push(&rustls::version::TLS13);
        }
        if newer(TlsVersion::V12) && older(TlsVersion::V12) {
            versions.push(&rustls::version::TLS12);
        }
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|e| wrong(&e))?;
        let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure_skip_verify {
            Arc::new(AnyCertificate::new(provider))
        } else {
            let roots = self.roots(tls.ca.as_ref())?;
            match &tls.server_name {
                None => WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|e| wrong(&e))?,
                Some(name) => {
                    let verifier = Named::new(name, roots, provider);
                    Arc::new(verifier.map_err(|e| wrong(&e))?)
                }
            }
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(&pem(key)?)
                    .map_err(|e| Error::Config(format!("unable to use client key: {e}")))?;
                builder
                    .with_client_auth_cert(certificates(cert)?, key)
                    .map_err(|e| wrong(&e))
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }

    fn roots(&self, ca: Option<&Pem>) -> Result<Arc<RootCertStore>, Error> {
        let Some(ca) = ca else {
            let roots = self.system_roots.get_or_init(|| {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Arc::new(if roots.is_empty() {
                    unverifiable()
                } else {
                    roots
                })
            });
            return Ok(Arc::clone(roots));
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(ca)?);
        if added == 0 {
            return Err(Error::Config("unable to use specified CA cert".to_owned()));
        }
        Ok(Arc::new(roots))
    }
}

/// The proxies for plain requests and for tunnels, which have headers of their own.
fn proxies(config: &ProxyConfig) -> Result<Vec<Proxy>, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
    let Some(url) = &config.url else {
        return Ok(Vec::new());
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &config.connect_headers {
        let name = HeaderName::try_from(name).map_err(|e| wrong(&e))?;
        headers.append(name, sensitive(&value.0)?);
    }
    let plain = Proxy::http(url).map_err(|e| wrong(&e))?;
    let tunnel = Proxy::https(url).map_err(|e| wrong(&e))?.headers(headers);
    let no_proxy = || config.none_for.as_deref().and_then(NoProxy::from_string);
    Ok([plain, tunnel]
        .map(|proxy| proxy.no_proxy(no_proxy()))
        .into())
}

/// A store that trusts nobody: a verifier needs one name at least, and this one signs nothing.
fn unverifiable() -> RootCertStore {
    let anchor = rustls::pki_types::TrustAnchor {
        subject: rustls::pki_types::Der::from_slice(&[]),
        subject_public_key_info: rustls::pki_types::Der::from_slice(&[]),
        name_constraints: None,
    };
    RootCertStore {
        roots: vec![anchor],
    }
}

fn pem(pem: &Pem) -> Result<Vec<u8>, Error> {
    match pem {
        Pem::Inline(text) => Ok(text.0.clone().into_bytes()),
        Pem::File(path) => std::fs::read(path).map_err(|source| unreadable(path, source)),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::File {
        path: path.display().to_string(),
        source,
    }
}

fn certificates(from: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = pem(from)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|e| Error::Config(format!("unable to use certificate: {e}")))
}

async fn authorize(
    mut request: RequestBuilder,
    http: &HttpConfig,
) -> Result<RequestBuilder, Error> {
    for (name, value) in &http.headers {
        request = request.header(name.as_str(), sensitive(&secret(value).await?)?);
    }
    match &http.authorization {
        None | Some(Authorization::OAuth2(_)) => {}
        Some(Authorization::Basic { username, password }) => {
            let username = secret(username).await?;
            let password = match password {
                Some(password) => Some(secret(password).await?),
                None => None,
            };
            request = request.basic_auth(username, password);
        }
        Some(Authorization::Credentials {
            scheme,
            credentials,
        }) => {
            let mut value = scheme.trim().to_owned();
            if let Some(credentials) = credentials {
                value.push(' ');
                value.push_str(&secret(credentials).await?);
            }
            request = request.header(AUTHORIZATION, sensitive(&value)?);
        }
    }
    Ok(request)
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::Config("a header cannot have this secret as its value".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) async fn secret(source: &SecretSource) -> Result<String, Error> {
    match source {
        SecretSource::Inline(text) => Ok(text.0.clone()),
        SecretSource::File(path) => {
            let text = tokio::fs::read_to_string(path).await;
            let text = text.map_err(|source| unreadable(path, source))?;
            Ok(text.trim().to_owned())
        }
    }
}

/// The server ended the connection before it said anything.
pub(crate) fn is_closed_early(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return true;
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            let kind = error.kind();
            return matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        }
        source = cause.source();
    }
    false
}

/// The body of an answer, decompressed where the client does that, of at most `bytes_max` bytes; about `expected` are.
pub(crate) async fn read_body(
    mut response: Response,
    bytes_max: usize,
    expected: usize,
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::with_capacity(expected.min(bytes_max));
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > bytes_max {
            return Err(Error::BodySize);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
