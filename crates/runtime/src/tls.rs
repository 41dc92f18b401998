//! TLS for servers and clients, from the files that flags name.

mod validity;
mod verifier;

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::Error;
use crate::followed::{Followed, Seen};
pub use validity::{NotACertificate, Validity};
pub use verifier::{AnyCertificate, Named};

/// The protocol that both sides of a connection agree on while they set up TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, as gRPC uses it.
    Http2,
}

impl Protocol {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// Where systems keep the certificate authorities that they trust, as Go looks for them.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

impl MinVersion {
    /// Reads Thanos' names. 1.0 and 1.1 are broken and refused.
    ///
    /// # Errors
    /// A sentence on what would be right.
    pub fn parse(s: &str) -> Result<Self, String> {
        match s {
            "1.2" => Ok(Self::V12),
            "1.3" => Ok(Self::V13),
            _ => Err(format!("{s:?} is not spoken; use 1.2 or 1.3")),
        }
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            Self::V12 => rustls::ALL_VERSIONS,
            Self::V13 => &NEWEST,
        }
    }
}

/// A certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// File with the certificate, and those of its issuers.
    pub cert: PathBuf,
    /// File with the private key.
    pub key: PathBuf,
}

/// How a server speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// What it shows.
    pub identity: Identity,
    /// File with the authorities that clients' certificates must come from; clients need none
    /// without it.
    pub client_ca: Option<PathBuf>,
    /// The oldest version.
    pub min_version: MinVersion,
}

/// How a client speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// What it shows when asked.
    pub identity: Option<Identity>,
    /// File with the authorities that servers' certificates must come from; the system's without it.
    pub ca: Option<PathBuf>,
    /// Name that the server's certificate must be for, instead of the one that was dialled.
    pub server_name: Option<String>,
    /// Takes any certificate.
    pub skip_verify: bool,
    /// The oldest version.
    pub min_version: MinVersion,
}

impl ServerTls {
    /// Reads the files, now and whenever they change.
    ///
    /// # Errors
    /// [`Error::Start`] when one cannot be read, or does not hold what it should.
    pub fn follow(&self, protocol: Protocol) -> Result<Arc<Followed<ServerConfig>>, Error> {
        let tls = self.clone();
        Followed::new("TLS of a server", move |seen| tls.load(protocol, seen))
    }

    /// What the files say now, which are noted before they are read.
    pub(crate) fn load(&self, protocol: Protocol, seen: &mut Seen) -> Result<ServerConfig, Error> {
        for file in self.identity.files().chain(self.client_ca.as_ref()) {
            seen.note(file);
        }
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.versions())
            .map_err(|e| start("set up TLS", e))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(read_roots(ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = verifier
                    .build()
                    .map_err(|e| start(format!("check clients against {}", ca.display()), e))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (certs, key) = self.identity.read()?;
        let mut config = builder
            .with_single_cert(certs, key)
            .map_err(|e| start(format!("use {}", self.identity.cert.display()), e))?;
        config.alpn_protocols = protocol.names();
        Ok(config)
    }
}

impl ClientTls {
    /// Reads the files, now and whenever they change.
    ///
    /// # Errors
    /// As [`ServerTls::follow`].
    pub fn follow(&self, protocol: Protocol) -> Result<Arc<Followed<ClientConfig>>, Error> {
        let tls = self.clone();
        Followed::new("TLS of a client", move |seen| tls.load(protocol, seen))
    }

    /// What the files say now, which are noted before they are read.
    ///
    /// # Errors
    /// As [`ServerTls::follow`].
    pub fn load(&self, protocol: Protocol, seen: &mut Seen) -> Result<ClientConfig, Error> {
        let identity = self.identity.iter().flat_map(Identity::files);
        for file in identity.chain(&self.ca) {
            seen.note(file);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.versions())
            .map_err(|e| start("set up TLS", e))?;
        let builder = if self.skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider())))
        } else {
            let roots = match &self.ca {
                Some(ca) => read_roots(ca)?,
                None => system_roots()?,
            };
            match &self.server_name {
                None => builder.with_root_certificates(roots),
                Some(name) => {
                    let verifier = Named::new(name, Arc::new(roots), provider());
                    let verifier = verifier.map_err(|e| start(format!("expect {name}"), e))?;
                    builder
                        .dangerous()
                        .with_custom_certificate_verifier(Arc::new(verifier))
                }
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (certs, key) = identity.read()?;
                builder
                    .with_client_auth_cert(certs, key)
                    .map_err(|e| start(format!("use {}", identity.cert.display()), e))?
            }
        };
        config.alpn_protocols = protocol.names();
        Ok(config)
    }
}

impl Identity {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter()
    }

    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let certs = read_certs(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|e| start(format!("read the key {}", self.key.display()), e))?;
        Ok((certs, key))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_certs(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |e| start(format!("read certificates from {}", file.display()), e);
    CertificateDer::pem_file_iter(file)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// When the certificates are valid that a PEM file holds, in their order.
///
/// # Errors
/// [`Error::Start`] when it cannot be read, or holds something else.
pub fn validity_of_file(file: &Path) -> Result<Vec<Validity>, Error> {
    validity_of(&read_certs(file)?, &file.display().to_string())
}

/// When the certificates are valid that the server at `address` (`HOST:PORT`) shows to a client that
/// takes any, its own first. Each step of the connection takes at most `patience`.
///
/// # Errors
/// [`Error::Start`] when there is no connection, or no TLS is spoken there.
pub fn validity_of_server(
    address: &str,
    tls: &ClientTls,
    patience: Duration,
) -> Result<Vec<Validity>, Error> {
    let failed = |e: io::Error| start(format!("speak TLS with {address}"), e);
    let any = ClientTls {
        skip_verify: true,
        ..tls.clone()
    };
    let config = any.load(Protocol::Http2, &mut Seen::default())?;
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|e| failed(io::Error::other(e)))?;
    let at = address.to_socket_addrs().map_err(failed)?.next();
    let at = at.ok_or_else(|| failed(io::Error::other("the name has no address")))?;
    let mut stream = TcpStream::connect_timeout(&at, patience).map_err(failed)?;
    let timeouts = stream.set_read_timeout(Some(patience));
    timeouts.map_err(failed)?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name)
        .map_err(|e| failed(io::Error::other(e)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(failed)?;
    }
    validity_of(connection.peer_certificates().unwrap_or_default(), address)
}

fn validity_of(certs: &[CertificateDer<'_>], from: &str) -> Result<Vec<Validity>, Error> {
    let dates = certs.iter().map(|cert| Validity::of(cert));
    let dates: Result<Vec<Validity>, NotACertificate> = dates.collect();
    let dates = dates.map_err(|e| start(format!("use the certificate of {from}"), e))?;
    match dates.is_empty() {
        true => {
            let none = io::Error::other("there is none");
            Err(start(format!("use the certificate of {from}"), none))
        }
        false => Ok(dates),
    }
}

fn read_roots(file: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(read_certs(file)?);
    if added == 0 {
        let reason = io::Error::other("it holds no certificate of an authority");
        return Err(start(format!("use {}", file.display()), reason));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, Error> {
    let file = SYSTEM_ROOTS.iter().map(Path::new).find(|f| f.is_file());
    match file {
        Some(file) => read_roots(file),
        None => Err(start(
            "find the system's certificate authorities",
            io::Error::other("name a file with them by --grpc-client-tls-ca"),
        )),
    }
}

fn start(
    action: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Start {
        action: action.into(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
