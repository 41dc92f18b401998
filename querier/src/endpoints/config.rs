//! Endpoints from flags and from the YAML of `--endpoint.sd-config`, in Thanos' form.

use std::path::PathBuf;

use serde::Deserialize;

use super::address::{Address, Lookup};

/// An address, and how its endpoints are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Where it is.
    pub address: Address,
    /// It is asked even when it does not answer, so that answers never lack it in silence.
    pub strict: bool,
    /// All endpoints of the address have the same data; one of them is asked.
    pub group: bool,
    /// How to connect; `None` for the default.
    pub tls: Option<ClientTls>,
}

impl EndpointConfig {
    /// An endpoint that is connected to in the default way.
    ///
    /// # Errors
    /// When the address cannot be read, or is looked up though strict.
    pub fn new(address: &str, strict: bool, group: bool) -> Result<Self, String> {
        let address = Address::parse(address)?;
        if strict && !group && address.lookup != Lookup::Static {
            return Err(format!(
                "{address} is looked up, so it cannot be strict; name the endpoints themselves"
            ));
        }
        Ok(Self {
            address,
            strict,
            group,
            tls: None,
        })
    }
}

/// How a connection is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// TLS is used at all.
    pub enabled: bool,
    /// Any certificate will do.
    pub skip_verify: bool,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Who vouches for the server's certificate; the system's authorities when not said.
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate must bear; the address' host when not said.
    pub server_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    default_client_config: Option<ClientDocument>,
    #[serde(default)]
    endpoints: Vec<EndpointDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointDocument {
    address: String,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    group: bool,
    /// How gRPC balances load over a group; here one way is right for all.
    #[serde(default)]
    service_config: Option<String>,
    #[serde(default)]
    client_config: Option<ClientDocument>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientDocument {
    #[serde(default)]
    tls_config: Option<TlsDocument>,
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    compression: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsDocument {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    insecure_skip_verify: bool,
    #[serde(default)]
    cert_file: PathBuf,
    #[serde(default)]
    key_file: PathBuf,
    #[serde(default)]
    ca_file: PathBuf,
    /// Less than 1.2 is never spoken.
    #[serde(default)]
    min_version: Option<String>,
}

impl From<&ClientDocument> for ClientTls {
    fn from(document: &ClientDocument) -> Self {
        let said = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        if let Some(compression) = &document.compression
            && compression != "none"
        {
            tracing::warn!(%compression, "compression of requests to endpoints is not supported");
        }
        let server_name = Some(document.server_name.clone()).filter(|name| !name.is_empty());
        match &document.tls_config {
            None => Self {
                server_name,
                ..Self::default()
            },
            Some(tls) => {
                if let Some(version) = &tls.min_version {
                    tracing::debug!(%version, "TLS 1.2 is the least version in any case");
                }
                Self {
                    enabled: tls.enabled,
                    skip_verify: tls.insecure_skip_verify,
                    cert_file: said(&tls.cert_file),
                    key_file: said(&tls.key_file),
                    ca_file: said(&tls.ca_file),
                    server_name,
                }
            }
        }
    }
}

/// Reads the endpoints of a configuration.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(yaml: &str) -> Result<Vec<EndpointConfig>, String> {
    if yaml.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Document = runtime::yaml::read(yaml)?;
    let default = document.default_client_config.as_ref().map(ClientTls::from);
    let endpoints = document.endpoints.iter().map(|endpoint| {
        if endpoint.service_config.is_some() && !endpoint.group {
            return Err(format!(
                "endpoint {} has a service_config, which only groups take",
                endpoint.address
            ));
        }
        let own = endpoint.client_config.as_ref().map(ClientTls::from);
        Ok(EndpointConfig {
            tls: own.or_else(|| default.clone()),
            ..EndpointConfig::new(&endpoint.address, endpoint.strict, endpoint.group)?
        })
    });
    endpoints.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read() {
        let endpoints = parse(
            "default_client_config:\n  tls_config: {enabled: true, ca_file: ca.pem}\n\
             endpoints:\n\
             - address: a:1\n  strict: true\n\
             - address: dns+b:2\n  group: true\n  client_config: {server_name: b}\n",
        )
        .unwrap();
        assert_eq!(endpoints.len(), 2);
        assert!(endpoints[0].strict);
        let tls = endpoints[0].tls.as_ref().unwrap();
        assert_eq!((tls.enabled, tls.ca_file.is_some()), (true, true));
        assert!(endpoints[1].group);
        let tls = endpoints[1].tls.as_ref().unwrap();
        assert_eq!(
            (tls.enabled, tls.server_name.as_deref()),
            (false, Some("b"))
        );
        assert_eq!(parse(" \n").unwrap(), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for yaml in [
            "endpoints: [{address: a}]",
            "endpoints: [{address: 'dns+a:1', strict: true}]",
            "endpoints: [{address: 'a:1', service_config: '{}'}]",
            "endpoints: [{address: 'a:1', unknown: 1}]",
            "endpoints: 5",
        ] {
            assert!(parse(yaml).is_err(), "{yaml}");
        }
    }
}
