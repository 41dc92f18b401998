//! A bucket whose server says `SlowDown`: it is asked ever less and no sooner than it said, what is
//! known is served on, and all is as before when it is over.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::component::wait_until;
use crate::process_faults::figure;
use crate::served_block::ServedBlock;

#[test]
fn a_bucket_that_is_overloaded_is_asked_less_and_served_on() -> anyhow::Result<()> {
    const THROTTLED: &str = "promontory_objstore_bucket_throttled_total";
    const AT_ONCE: &str = "promontory_objstore_bucket_requests_max";
    let Some(scene) = ServedBlock::start()? else {
        return Ok(());
    };
    let (store, proxy) = (&scene.store, &scene.proxy);
    let serves = || scene.is_served();
    ensure!(figure(store.http, THROTTLED)? == 0.0 && figure(store.http, AT_ONCE)? == 0.0);

    proxy.refuse(Some((503, "SlowDown", "Please reduce your request rate.")));
    let is_told = || Ok(figure(store.http, THROTTLED)? >= 1.0);
    wait_until("a refusal", is_told)?;
    ensure!(figure(store.http, AT_ONCE)? == 1.0);
    let (before, begin) = (proxy.refused(), Instant::now());
    thread::sleep(Duration::from_secs(5));
    let asked = proxy.refused() - before;
    // Once a second, as it was told to.
    let most = begin.elapsed().as_secs() as usize + 1;
    ensure!(
        (1..=most).contains(&asked),
        "{asked} requests in {most} s at most"
    );
    ensure!(serves()?, "what is known is served on");
    proxy.refuse(None);
    let syncs = figure(store.http, "thanos_blocks_meta_syncs_total")?;
    let works = || Ok(figure(store.http, "thanos_blocks_meta_syncs_total")? > syncs + 1.0);
    wait_until("looks at the bucket", works)?;
    ensure!(serves()?);
    Ok(())
}
