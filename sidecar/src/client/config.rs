//! How Prometheus is spoken to, in the YAML of Thanos' HTTP clients.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime::tls::{ClientTls, Identity};
use serde::Deserialize;

/// Credentials and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    basic_auth: Option<BasicAuth>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: Option<TlsConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BasicAuth {
    username: String,
    password: String,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsConfig {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
}

impl ClientConfig {
    /// Reads the YAML; nothing at all is the default.
    ///
    /// # Errors
    /// A sentence on what is wrong.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self = runtime::yaml::read(yaml)?;
        let kinds = [
            config.basic_auth.is_some(),
            config.bearer_token.is_some(),
            config.bearer_token_file.is_some(),
        ];
        if kinds.iter().filter(|is_set| **is_set).count() > 1 {
            return Err("choose one of basic_auth, bearer_token and bearer_token_file".to_owned());
        }
        if let Some(tls) = &config.tls_config
            && tls.cert_file.is_some() != tls.key_file.is_some()
        {
            return Err("tls_config needs both cert_file and key_file, or neither".to_owned());
        }
        Ok(config)
    }

    /// The header `Authorization`, if there is to be one. Files are read at each call, so that new
    /// passwords count.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn authorization(&self) -> std::io::Result<Option<String>> {
        let read = |file: &PathBuf| {
            let text = std::fs::read_to_string(file)?;
            Ok::<_, std::io::Error>(text.trim_end().to_owned())
        };
        if let Some(basic) = &self.basic_auth {
            let password = match &basic.password_file {
                Some(file) => read(file)?,
                None => basic.password.clone(),
            };
            let pair = STANDARD.encode(format!("{}:{password}", basic.username));
            return Ok(Some(format!("Basic {pair}")));
        }
        let token = match (&self.bearer_token, &self.bearer_token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => None,
        };
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// How TLS is spoken.
    pub fn tls(&self) -> ClientTls {
        let tls = self.tls_config.clone().unwrap_or_default();
        let identity = tls.cert_file.zip(tls.key_file);
        ClientTls {
            identity: identity.map(|(cert, key)| Identity { cert, key }),
            ca: tls.ca_file,
            server_name: tls.server_name,
            skip_verify: tls.insecure_skip_verify,
            ..ClientTls::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header() {
        let header = |yaml: &str| ClientConfig::parse(yaml).unwrap().authorization().unwrap();
        assert_eq!(header(""), None);
        assert_eq!(
            header("basic_auth: {username: me, password: secret}").as_deref(),
            Some("Basic bWU6c2VjcmV0")
        );
        assert_eq!(header("bearer_token: abc").as_deref(), Some("Bearer abc"));
    }

    #[test]
    fn contradictions_are_refused() {
        for yaml in [
            "bearer_token: a\nbearer_token_file: b",
            "tls_config: {cert_file: a}",
            "proxy: x",
        ] {
            assert!(ClientConfig::parse(yaml).is_err(), "{yaml}");
        }
    }
}
