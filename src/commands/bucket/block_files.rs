//! Blocks between a bucket and a local directory.

use std::path::Path;

use anyhow::Context as _;
use bucket::{BlockFiles, BlockInfo, BlockObject, Bucket};
use tsdb::block::{CHUNKS_DIR, INDEX_FILE, META_FILE};
use ulid::Ulid;

/// The objects of a block with the names that their files have in its directory, `meta.json` last.
pub(super) fn objects(id: Ulid, files: &BlockFiles) -> Vec<(BlockObject, String)> {
    let segments = files.segments.numbers();
    let segments = segments.map(|n| (BlockObject::Chunks(id, n), format!("{CHUNKS_DIR}/{n:06}")));
    let last = [
        (BlockObject::Index(id), INDEX_FILE.to_owned()),
        (BlockObject::Meta(id), META_FILE.to_owned()),
    ];
    segments.chain(last).collect()
}

/// What the listing says of the size of an object, if it is there. It keeps none of `meta.json`.
pub(super) fn size(object: BlockObject, files: &BlockFiles) -> Option<u64> {
    match object {
        BlockObject::Index(_) => files.index_bytes,
        BlockObject::Chunks(_, n) => files.segments.get(n),
        _ => None,
    }
}

/// Downloads a block into the new directory `dir`.
pub(super) async fn download(bucket: &Bucket, block: &BlockInfo, dir: &Path) -> anyhow::Result<()> {
    let id = block.meta.ulid;
    let made = std::fs::create_dir_all(dir.join(CHUNKS_DIR));
    made.with_context(|| format!("make the directory {}", dir.display()))?;
    for (object, name) in objects(id, &block.files) {
        let (key, file) = (object.to_string(), dir.join(&name));
        let got = bucket.download_file(&key, &file).await;
        let got = got.with_context(|| format!("download block {id}"))?;
        let listed = size(object, &block.files);
        anyhow::ensure!(
            listed.is_none_or(|listed| listed == got),
            "{name} of block {id} changed while it was read; try again"
        );
    }
    Ok(())
}
