//! Azure Blob Storage.

use std::sync::Arc;

use object_store::Attributes;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use serde::Deserialize;

use super::http::HttpConfig;
use super::{Opened, Patience, check_url, ensure_tls, refused};
use crate::error::{Error, Result};
use crate::pace::PacedConnector;

/// Where accounts live unless something else is said.
const ENDPOINT: &str = "blob.core.windows.net";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Azure {
    storage_account: String,
    storage_account_key: String,
    storage_connection_string: String,
    storage_create_container: bool,
    container: String,
    endpoint: String,
    user_assigned_id: String,
    az_tenant_id: String,
    client_id: String,
    client_secret: String,
    max_retries: usize,
    reader_config: ReaderConfig,
    pipeline_config: PipelineConfig,
    http_config: HttpConfig,
    msi_resource: String,
    azure_storage_account_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReaderConfig {
    max_retry_requests: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PipelineConfig {
    max_tries: usize,
    try_timeout: Option<String>,
    retry_delay: Option<String>,
    max_retry_delay: Option<String>,
}

pub(super) fn open(mut config: Azure, patience: Patience) -> Result<Opened> {
    let sas = config.read_connection_string();
    if config.container.is_empty() {
        return Err(Error::Config("config.container is empty".to_owned()));
    }
    if config.storage_account.is_empty() {
        return Err(Error::Config(
            "name the account: config.storage_account or storage_connection_string".to_owned(),
        ));
    }
    ensure_tls();
    let pace = patience.pace();
    let mut without_effect = config.without_effect();
    let options = config
        .http_config
        .options(false, patience.silence_max(), &mut without_effect)?;
    let has_secret =
        !config.storage_account_key.is_empty() || !config.client_secret.is_empty() || sas.is_some();
    let mut builder = match has_secret {
        true => MicrosoftAzureBuilder::new(),
        false => MicrosoftAzureBuilder::from_env(),
    };
    if !config.storage_account_key.is_empty() {
        builder = builder.with_access_key(&config.storage_account_key);
    }
    if let Some(sas) = sas {
        builder = builder.with_config(AzureConfigKey::SasKey, sas);
    }
    let client_id = match config.user_assigned_id.is_empty() {
        true => &config.client_id,
        false => &config.user_assigned_id,
    };
    for (key, value) in [
        (AzureConfigKey::ClientId, client_id),
        (AzureConfigKey::ClientSecret, &config.client_secret),
        (AzureConfigKey::AuthorityId, &config.az_tenant_id),
    ] {
        if !value.is_empty() {
            builder = builder.with_config(key, value);
        }
    }
    if !config.endpoint.is_empty() && config.endpoint != ENDPOINT {
        let url = match config.endpoint.contains("://") {
            true => config.endpoint.clone(),
            false => format!("https://{}.{}", config.storage_account, config.endpoint),
        };
        check_url(&url)?;
        builder = builder.with_endpoint(url);
    }
    let retries = [config.max_retries, config.pipeline_config.max_tries];
    let store = builder
        .with_account(&config.storage_account)
        .with_container_name(&config.container)
        .with_client_options(options)
        .with_retry(patience.retry(retries.into_iter().find(|n| *n > 0)))
        .with_http_connector(PacedConnector(Arc::clone(&pace)))
        .build()
        .map_err(|e| refused(&e))?;
    Ok(Opened {
        store: Arc::new(store),
        name: config.container,
        root: None,
        is_new: false,
        attributes: Attributes::new(),
        without_effect,
        pace,
    })
}

impl Azure {
    /// Takes account, key and address from the connection string, if there is one, and returns its
    /// shared access signature.
    fn read_connection_string(&mut self) -> Option<String> {
        let mut sas = None;
        let mut suffix = None;
        let parts = self.storage_connection_string.split(';');
        let parts: Vec<(String, String)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
            .collect();
        for (name, value) in parts {
            match name.as_str() {
                "AccountName" => self.storage_account = value,
                "AccountKey" => self.storage_account_key = value,
                "SharedAccessSignature" => sas = Some(value),
                "BlobEndpoint" => self.endpoint = value,
                "EndpointSuffix" => suffix = Some(format!("blob.{value}")),
                _ => {}
            }
        }
        if let Some(suffix) = suffix.filter(|_| !self.endpoint.contains("://")) {
            self.endpoint = suffix;
        }
        sas
    }

    fn without_effect(&self) -> Vec<&'static str> {
        let pipeline = &self.pipeline_config;
        let fields = [
            (self.storage_create_container, "storage_create_container"),
            (self.reader_config.max_retry_requests > 0, "reader_config"),
            (!self.msi_resource.is_empty(), "msi_resource"),
            // Both types answer to the requests of the first.
            (
                !matches!(
                    self.azure_storage_account_type.as_str(),
                    "" | "blob" | "datalake"
                ),
                "azure_storage_account_type",
            ),
            (
                pipeline.try_timeout.is_some(),
                "pipeline_config.try_timeout",
            ),
            (
                pipeline.retry_delay.is_some(),
                "pipeline_config.retry_delay",
            ),
            (
                pipeline.max_retry_delay.is_some(),
                "pipeline_config.max_retry_delay",
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(said, field)| said.then_some(field))
            .collect()
    }
}
