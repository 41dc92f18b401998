//! A bucket whose server says `SlowDown`: it is asked ever less and no sooner than it said, what is
//! known is served on, and all is as before when it is over.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use bucket::{Bucket, Origin, Patience, upload_block};

use crate::block_data;
use crate::component::{Component, wait_until};
use crate::process_faults::figure;
use crate::s3::S3;
use crate::s3_proxy::S3Proxy;

#[test]
fn a_bucket_that_is_overloaded_is_asked_less_and_served_on() -> anyhow::Result<()> {
    const THROTTLED: &str = "promontory_objstore_bucket_throttled_total";
    const AT_ONCE: &str = "promontory_objstore_bucket_requests_max";
    let dir = tempfile::tempdir()?;
    let Some(s3) = S3::start(dir.path())? else {
        return Ok(());
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
    let args = [
        format!("--objstore.config={}", s3.yaml_through(proxy.port)),
        format!("--data-dir={}", dir.path().join("store").display()),
        "--sync-block-duration=1s".to_owned(),
    ];
    let store = Component::start(dir.path(), "store", &args)?;
    let serves = || Ok(figure(store.http, "thanos_bucket_store_blocks_loaded")? == 1.0);
    wait_until("the block", serves)?;
    ensure!(figure(store.http, THROTTLED)? == 0.0 && figure(store.http, AT_ONCE)? == 0.0);

    proxy.refuse(Some((503, "SlowDown", "Please reduce your request rate.")));
    let is_told = || Ok(figure(store.http, THROTTLED)? >= 1.0);
    wait_until("a refusal", is_told)?;
    ensure!(figure(store.http, AT_ONCE)? == 1.0);
    let before = proxy.refused();
    thread::sleep(Duration::from_secs(5));
    let asked = proxy.refused() - before;
    // Once a second, as it was told to.
    ensure!((1..=6).contains(&asked), "{asked} requests in 5 s");
    ensure!(serves()?, "what is known is served on");
    proxy.refuse(None);
    let syncs = figure(store.http, "thanos_blocks_meta_syncs_total")?;
    let works = || Ok(figure(store.http, "thanos_blocks_meta_syncs_total")? > syncs + 1.0);
    wait_until("looks at the bucket", works)?;
    ensure!(serves()?);
    Ok(())
}
