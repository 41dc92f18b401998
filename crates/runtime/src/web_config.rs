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
//! ```
//!
//! What would keep somebody out and cannot be done here is an error, so that nobody serves more than
//! was meant. Files are named from the directory of the configuration. They are read when a server
//! starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Error;
use crate::tls::{Identity, MinVersion, ServerTls};

const FLAG: &str = "http.config";

/// What a web configuration comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebConfig {
    /// How TLS is spoken, if it is.
    pub tls: Option<ServerTls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    tls_server_config: Option<Tls>,
    http_server_config: Http,
    basic_auth_users: BTreeMap<String, IgnoredAny>,
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
    headers: BTreeMap<String, IgnoredAny>,
}

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
        Self::parse(&text, dir).map_err(|reason| refused(format!("{file}: {reason}")))
    }

    fn parse(text: &str, dir: &Path) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if !file.basic_auth_users.is_empty() {
            return Err(
                "basic_auth_users is not supported; let a proxy ask for passwords".to_owned(),
            );
        }
        if !file.http_server_config.headers.is_empty() {
            return Err("http_server_config.headers is not supported".to_owned());
        }
        if file.http_server_config.http2 == Some(true) {
            tracing::warn!("http2 of the web configuration has no effect; HTTP/1.1 is spoken");
        }
        let tls = file.tls_server_config.map(|tls| tls.resolve(dir));
        Ok(Self {
            tls: tls.transpose()?,
        })
    }
}

impl Tls {
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
        let tuned = [
            ("max_version", !self.max_version.is_empty()),
            ("cipher_suites", !self.cipher_suites.is_empty()),
            ("curve_preferences", !self.curve_preferences.is_empty()),
            (
                "prefer_server_cipher_suites",
                self.prefer_server_cipher_suites.is_some(),
            ),
        ];
        for (field, _) in tuned.into_iter().filter(|(_, is_said)| *is_said) {
            tracing::warn!(
                field,
                "field of the web configuration has no effect; only sound ciphers are spoken"
            );
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
    fn what_cannot_be_kept_is_refused() {
        for (text, named) in [
            ("basic_auth_users: {a: b}", "basic_auth_users"),
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
                "http_server_config: {headers: {X-Frame-Options: deny}}",
                "headers",
            ),
            ("tls_config: {}", "tls_config"),
        ] {
            let error = WebConfig::parse(text, Path::new("")).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
