//! Prometheus' web configuration, which `--http.config` names: how an HTTP server speaks TLS and whom
//! it lets in.
//!
//! ```yaml
//! tls_server_config:
//!   cert_file: server.crt
//!   key_file: server.key
//!   client_auth_type: RequireAndVerifyClientCert
//!   client_ca_file: ca.crt
//!   min_version: TLS13
//! basic_auth_users:
//!   alice: $2y$10$...   # bcrypt, as `htpasswd -nBC 10 "" ` prints it
//! http_server_config:
//!   headers: {X-Frame-Options: deny}
//! ```
//!
//! What would keep somebody out and cannot be done here is an error, so that nobody serves more than
//! was meant. Files are named from the directory of the configuration. It and they are looked at with
//! each connection and request, so that what changes is in force without a restart; only TLS itself is
//! not switched on or off.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bcrypt::HashParts;
use hyper::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::Error;
use crate::followed::Followed;
use crate::tls::{Identity, MinVersion, Protocol, ServerTls};

const FLAG: &str = "http.config";

/// What a web configuration comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebConfig {
    /// Where it was read from; nowhere when none was named.
    pub file: Option<PathBuf>,
    /// How TLS is spoken, if it is.
    pub tls: Option<ServerTls>,
    /// It is spoken so whatever the file says.
    has_own_tls: bool,
    /// Who is let in; everybody when nobody is named.
    pub users: Users,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields that it has in vain. They are logged when it comes in force.
    pub ignored: Vec<Ignored>,
}

/// A field of a web configuration that has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub field: &'static str,
    /// Why it has none.
    pub reason: &'static str,
}

/// Names with the bcrypt hashes of their passwords.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Users(BTreeMap<String, String>);

impl Users {
    /// True when everybody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hash of a user's password.
    pub fn hash_of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Users {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a server does by its web configuration as of now.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) users: Users,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    tls_server_config: Option<Tls>,
    http_server_config: Http,
    basic_auth_users: Users,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    cert_file: String,
    key_file: String,
    client_ca_file: String,
    client_auth_type: String,
    client_allowed_sans: Vec<String>,
    min_version: String,
    max_version: String,
    cipher_suites: Vec<String>,
    curve_preferences: Vec<String>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

/// The headers that may be set, as in Prometheus, with what they may say; nothing for anything.
const HEADERS: [(HeaderName, &[&str]); 5] = [
    (header::STRICT_TRANSPORT_SECURITY, &[]),
    (header::X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    (header::X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    (header::X_XSS_PROTECTION, &[]),
    (header::CONTENT_SECURITY_POLICY, &[]),
];

impl WebConfig {
    /// Reads the file, if one is named.
    ///
    /// # Errors
    /// [`Error::Flag`] when it cannot be read, or says what cannot be kept.
    pub fn read(file: &str) -> Result<Self, Error> {
        if file.is_empty() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| refused(format!("cannot read {file}: {error}")))?;
        let dir = Path::new(file).parent().unwrap_or(Path::new("."));
        let config = Self::parse(&text, dir);
        let config = config.map_err(|reason| refused(format!("{file}: {reason}")))?;
        Ok(Self {
            file: Some(PathBuf::from(file)),
            ..config
        })
    }

    /// The same but for TLS, which is spoken as other flags say, whatever the file says.
    #[must_use]
    pub fn with_tls(&self, tls: ServerTls) -> Self {
        Self {
            tls: Some(tls),
            has_own_tls: true,
            ..self.clone()
        }
    }

    /// What the configuration says, now and whenever a file of it changes; nothing where there is
    /// none.
    ///
    /// # Errors
    /// [`Error::Flag`] and [`Error::Start`] when a file cannot be used.
    pub(crate) fn follow(&self) -> Result<Option<Arc<Followed<Web>>>, Error> {
        if self.file.is_none() && self.tls.is_none() {
            return Ok(None);
        }
        let (said, has_tls) = (self.clone(), self.tls.is_some());
        let followed = Followed::new("the web configuration", move |seen| {
            let config = match &said.file {
                Some(file) => {
                    seen.note(file);
                    Self::read(&file.to_string_lossy())?
                }
                None => said.clone(),
            };
            let config = match said.has_own_tls {
                true => Self {
                    tls: said.tls.clone(),
                    ..config
                },
                false => config,
            };
            if config.tls.is_some() != has_tls {
                let reason = "a restart switches TLS on or off, nothing else does";
                return Err(refused(reason.to_owned()));
            }
            let tls = config.tls.as_ref();
            let tls = tls.map(|tls| tls.load(Protocol::Http1, seen));
            let tls = tls.transpose()?.map(Arc::new);
            // Where TLS is other flags', the server that speaks it as the file says warns.
            let ignored = config.ignored.into_iter().filter(|_| !said.has_own_tls);
            for Ignored { field, reason } in ignored {
                tracing::warn!(
                    field,
                    reason,
                    "field of the web configuration has no effect"
                );
            }
            Ok(Web {
                tls,
                users: config.users,
                headers: config.headers,
            })
        });
        followed.map(Some)
    }

    fn parse(text: &str, dir: &Path) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: File = crate::yaml::read(text)?;
        for (name, hash) in &file.basic_auth_users.0 {
            hash.parse::<HashParts>().map_err(|error| {
                format!("basic_auth_users: the password of {name:?} is no bcrypt hash: {error}")
            })?;
        }
        let headers = file.http_server_config.headers.iter();
        let headers = headers.map(|(name, value)| security_header(name, value));
        let headers = headers.collect::<Result<_, _>>()?;
        let mut ignored = file
            .tls_server_config
            .as_ref()
            .map_or_else(Vec::new, Tls::ignored);
        if file.http_server_config.http2 == Some(true) {
            ignored.push(Ignored {
                field: "http2",
                reason: "HTTP/1.1 is spoken",
            });
        }
        let tls = file.tls_server_config.map(|tls| tls.resolve(dir));
        Ok(Self {
            file: None,
            has_own_tls: false,
            tls: tls.transpose()?,
            users: file.basic_auth_users,
            headers,
            ignored,
        })
    }
}

impl Tls {
    /// What is said of ciphers.
    fn ignored(&self) -> Vec<Ignored> {
        let has_preference = self.prefer_server_cipher_suites.is_some();
        let tuned = [
            ("max_version", !self.max_version.is_empty()),
            ("cipher_suites", !self.cipher_suites.is_empty()),
            ("curve_preferences", !self.curve_preferences.is_empty()),
            ("prefer_server_cipher_suites", has_preference),
        ];
        let reason = "only sound ciphers are spoken";
        let said = tuned.into_iter().filter(|(_, is_said)| *is_said);
        said.map(|(field, _)| Ignored { field, reason }).collect()
    }

    fn resolve(self, dir: &Path) -> Result<ServerTls, String> {
        let of = |name: &str, field: &str| match name {
            "" => Err(format!("tls_server_config lacks {field}")),
            name => Ok(dir.join(name)),
        };
        let identity = Identity {
            cert: of(&self.cert_file, "cert_file")?,
            key: of(&self.key_file, "key_file")?,
        };
        let min_version = match self.min_version.as_str() {
            "" | "TLS12" => MinVersion::V12,
            "TLS13" => MinVersion::V13,
            other => {
                return Err(format!(
                    "min_version {other:?} is not spoken; use TLS12 or TLS13"
                ));
            }
        };
        if !self.client_allowed_sans.is_empty() {
            return Err("client_allowed_sans is not supported".to_owned());
        }
        Ok(ServerTls {
            client_ca: self.client_ca(&of)?,
            identity,
            min_version,
        })
    }

    /// The authorities of clients, where clients must show certificates.
    fn client_ca(
        &self,
        of: &dyn Fn(&str, &str) -> Result<PathBuf, String>,
    ) -> Result<Option<PathBuf>, String> {
        match self.client_auth_type.as_str() {
            "RequireAndVerifyClientCert" => of(&self.client_ca_file, "client_ca_file").map(Some),
            "" | "NoClientCert" if self.client_ca_file.is_empty() => Ok(None),
            "" | "NoClientCert" => Err(
                "client_ca_file is of use with client_auth_type RequireAndVerifyClientCert only"
                    .to_owned(),
            ),
            other => Err(format!(
                "client_auth_type {other:?} is not supported; use NoClientCert or RequireAndVerifyClientCert"
            )),
        }
    }
}

/// A header that may be set.
fn security_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let known = HEADERS.into_iter();
    let known = known.map(|(header, values)| (header.clone(), values));
    let mut known = known.filter(|(header, _)| header.as_str().eq_ignore_ascii_case(name));
    let (header, values) = known
        .next()
        .ok_or_else(|| format!("http_server_config.headers: {name:?} cannot be set"))?;
    let may_be = |allowed: &&str| allowed.eq_ignore_ascii_case(value);
    let wrong = || format!("http_server_config.headers: {name} cannot be {value:?}");
    if !values.is_empty() && !values.iter().any(may_be) {
        return Err(wrong());
    }
    let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
    Ok((header, value))
}

fn refused(reason: String) -> Error {
    Error::Flag { flag: FLAG, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_configuration() {
        let text = "tls_server_config: {cert_file: a.crt, key_file: /b.key, min_version: TLS13, \
                    client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}";
        let tls = WebConfig::parse(text, Path::new("/etc/p"))
            .unwrap()
            .tls
            .unwrap();
        assert_eq!(tls.identity.cert, Path::new("/etc/p/a.crt"));
        assert_eq!(tls.identity.key, Path::new("/b.key"));
        assert_eq!(tls.client_ca.as_deref(), Some(Path::new("/etc/p/ca.crt")));
        assert_eq!(tls.min_version, MinVersion::V13);
        assert_eq!(
            WebConfig::parse(" \n", Path::new("")),
            Ok(WebConfig::default())
        );
    }

    #[test]
    fn what_has_no_effect_is_known() {
        let text = "{tls_server_config: {cert_file: a, key_file: b, max_version: TLS13}, \
                    http_server_config: {http2: true}}";
        let config = WebConfig::parse(text, Path::new("")).unwrap();
        let fields: Vec<_> = config.ignored.iter().map(|of| of.field).collect();
        assert_eq!(fields, ["max_version", "http2"]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (text, named) in [
            ("basic_auth_users: {a: b}", "basic_auth_users"),
            (
                "http_server_config: {headers: {X-Frame-Options: often}}",
                "X-Frame-Options",
            ),
            ("tls_server_config: {cert_file: a}", "key_file"),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}",
                "TLS10",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
                "client_auth_type",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}",
                "client_ca_file",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_allowed_sans: [x]}",
                "client_allowed_sans",
            ),
            (
                "http_server_config: {headers: {Set-Cookie: a}}",
                "Set-Cookie",
            ),
            ("tls_config: {}", "tls_config"),
        ] {
            let error = WebConfig::parse(text, Path::new("")).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
