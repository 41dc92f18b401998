//! Google Cloud Storage.

use std::sync::Arc;

use object_store::Attributes;
use object_store::gcp::GoogleCloudStorageBuilder;
use serde::Deserialize;

use super::http::HttpConfig;
use super::{Opened, Patience, ensure_tls, refused};
use crate::error::{Error, Result};
use crate::pace::PacedConnector;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gcs {
    bucket: String,
    service_account: String,
    use_grpc: bool,
    grpc_conn_pool_size: usize,
    http_config: HttpConfig,
    chunk_size_bytes: u64,
    max_retries: usize,
    universe_domain: String,
}

pub(super) fn open(config: Gcs, patience: Patience) -> Result<Opened> {
    if config.bucket.is_empty() {
        return Err(Error::Config("config.bucket is empty".to_owned()));
    }
    ensure_tls();
    let pace = patience.pace();
    let mut without_effect: Vec<_> = [
        (config.use_grpc, "use_grpc"),
        (config.grpc_conn_pool_size > 0, "grpc_conn_pool_size"),
        (config.chunk_size_bytes > 0, "chunk_size_bytes"),
        (!config.universe_domain.is_empty(), "universe_domain"),
    ]
    .into_iter()
    .filter_map(|(said, field)| said.then_some(field))
    .collect();
    let builder = match config.service_account.is_empty() {
        true => GoogleCloudStorageBuilder::from_env(),
        false => GoogleCloudStorageBuilder::new().with_service_account_key(&config.service_account),
    };
    let options = config
        .http_config
        .options(false, patience.silence_max(), &mut without_effect)?;
    let retries = (config.max_retries > 0).then_some(config.max_retries);
    let store = builder
        .with_bucket_name(&config.bucket)
        .with_client_options(options)
        .with_retry(patience.retry(retries))
        .with_http_connector(PacedConnector(Arc::clone(&pace)))
        .build()
        .map_err(|e| refused(&e))?;
    Ok(Opened {
        store: Arc::new(store),
        name: config.bucket,
        root: None,
        is_new: false,
        attributes: Attributes::new(),
        without_effect,
        pace,
    })
}
