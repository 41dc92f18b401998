//! A store gateway that serves one block from an S3 server behind a proxy that may refuse.

use bucket::{Bucket, Origin, Patience, upload_block};
use tempfile::TempDir;

use crate::block_data;
use crate::component::{Component, wait_until};
use crate::process_faults::figure;
use crate::s3::S3;
use crate::s3_proxy::S3Proxy;

/// What runs; it ends with this.
pub(crate) struct ServedBlock {
    pub(crate) store: Component,
    pub(crate) proxy: S3Proxy,
    /// The flag that names the bucket, as the gateway reaches it.
    pub(crate) bucket_flag: String,
    _s3: S3,
    pub(crate) dir: TempDir,
}

impl ServedBlock {
    /// Starts it all, and waits for the block; `None` after saying that there is no S3 server.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let Some(s3) = S3::start(dir.path())? else {
            return Ok(None);
        };
        let proxy = S3Proxy::start(s3.port())?;
        let block = dir.path().join("block");
        std::fs::create_dir_all(&block)?;
        block_data::write_block(&block, 1)?;
        let bucket = Bucket::open(&s3.yaml(), Patience::Interactive)?;
        let origin = Origin::new("sidecar", [("replica".to_owned(), "a".to_owned())].into());
        let block = block.join(block_data::block_id().to_string());
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(upload_block(&bucket, &block, &origin, 0))?;
        let bucket_flag = format!("--objstore.config={}", s3.yaml_through(proxy.port));
        let args = [
            bucket_flag.clone(),
            format!("--data-dir={}", dir.path().join("store").display()),
            "--sync-block-duration=1s".to_owned(),
        ];
        let store = Component::start(dir.path(), "store", &args)?;
        let this = Self {
            store,
            proxy,
            bucket_flag,
            _s3: s3,
            dir,
        };
        wait_until("the block", || this.is_served())?;
        Ok(Some(this))
    }

    /// Whether the gateway serves the block.
    pub(crate) fn is_served(&self) -> anyhow::Result<bool> {
        Ok(figure(self.store.http, "thanos_bucket_store_blocks_loaded")? == 1.0)
    }
}
