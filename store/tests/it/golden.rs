//! Blocks that Prometheus wrote, read through the gateway.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;

use bucket::Bucket;
use tempfile::tempdir;

use crate::support::{Setup, UNLIMITED, everything, put_block};

#[tokio::test(flavor = "multi_thread")]
async fn golden_blocks_equal_their_dumps() {
    let Some(root) = promontory_tests::conformance("tsdb/blocks") else {
        return;
    };
    for name in ["float", "hist", "fhist", "nhcb", "utf8"] {
        let dir = fs::read_dir(root.join(name))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let dump = fs::File::open(root.join(format!("{name}.dump.tsv.gz"))).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(dump)
            .read_to_string(&mut text)
            .unwrap();
        let expected: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let local = tempdir().unwrap();
        for bucket in [
            Bucket::in_memory(),
            Bucket::in_directory(local.path()).unwrap(),
        ] {
            put_block(&bucket, &dir).await;
            let setup = Setup::over(bucket, UNLIMITED).await;
            let answer = setup.series(everything()).await.unwrap();
            assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
            assert!(answer.dump() == expected, "{name} in {:?}", setup.bucket);
        }
    }
}
