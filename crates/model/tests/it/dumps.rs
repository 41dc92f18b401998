//! Histograms dumped by Prometheus: their fields and what its string form of them is.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};

use model::float::push_g;

use crate::fields::{float, integer};

/// The conformance data, or `None` with a notice where there are none outside CI.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no main to configure them"
)]
fn conformance_dir() -> Option<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let candidates = [
        env::var("PROMONTORY_CONFORMANCE").ok().map(PathBuf::from),
        Some(root.join("../shared/conformance")),
        Some(root.join("../../shared/conformance")),
    ];
    let found = candidates.into_iter().flatten().find(|dir| dir.is_dir());
    if found.is_none() {
        assert!(env::var("CI").is_err(), "CI needs PROMONTORY_CONFORMANCE");
        eprintln!("skipped: set PROMONTORY_CONFORMANCE to the conformance data");
    }
    found
}

fn lines(path: &Path) -> Vec<String> {
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn text_of_dumped_values_is_prometheus_own() {
    let Some(dir) = conformance_dir() else {
        return;
    };
    let mut checked = [0; 3];
    for dump in [
        "wal_none",
        "wal_snappy",
        "wal_zstd",
        "compacted",
        "blocks/hist",
        "blocks/fhist",
        "blocks/nhcb",
        "blocks/float",
        "blocks/utf8",
    ] {
        for line in lines(&dir.join("tsdb").join(format!("{dump}.dump.tsv.gz"))) {
            let [_, _, kind, want, fields] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not a dump line: {line}");
            };
            match kind {
                "histogram" => {
                    let histogram = integer(fields);
                    assert_eq!(histogram.to_string(), want, "{line}");
                    assert_eq!(histogram.to_float().to_string(), want, "{line}");
                    histogram.validate().unwrap();
                    checked[0] += 1;
                }
                "float_histogram" => {
                    let histogram = float(fields);
                    assert_eq!(histogram.to_string(), want, "{line}");
                    histogram.validate().unwrap();
                    checked[1] += 1;
                }
                "float" => {
                    let mut text = String::new();
                    push_g(
                        &mut text,
                        f64::from_bits(u64::from_str_radix(fields, 16).unwrap()),
                    );
                    assert_eq!(text, want, "{line}");
                    checked[2] += 1;
                }
                other => panic!("dump of kind {other}"),
            }
        }
    }
    assert_eq!(checked, [16_240, 7_600, 70_973]);
}
