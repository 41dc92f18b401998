//! `meta.json`: what a block is, without opening it.
//!
//! The structs are the file: fields in the order in which Prometheus and Thanos write them, left
//! out when they leave them out. Fields that are not known here survive a rewrite, after the known
//! ones. The format is described in `docs/format/meta-json.md`.

use std::collections::BTreeMap;
use std::path::Path;

use model::TimeRange;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ulid::Ulid;

use super::files::replace;
use super::json::to_go_json;
use crate::error::{Corruption, Error, Result};

/// Name of the file in a block.
pub const META_FILE: &str = "meta.json";

/// The only version there is.
const VERSION: u32 = 1;

/// Largest `meta.json` that is read. A compacted block of a year names thousands of sources in some
/// 100 KiB.
pub const META_SIZE_MAX: u64 = 64 << 20;

/// What is known of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The block's name.
    pub ulid: Ulid,
    /// First millisecond that the block covers.
    #[serde(default)]
    pub min_time: i64,
    /// First millisecond after what the block covers.
    #[serde(default)]
    pub max_time: i64,
    /// What the block holds.
    #[serde(default)]
    pub stats: Stats,
    /// Where the block comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always 1.
    pub version: u32,
    /// What Thanos adds once a block leaves its producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Thanos>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Counts of what a block holds; zeros are left out of the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples of any kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Floats among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Native histograms among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted intervals.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Where a block comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// 1 for a block cut from a head; the highest level of the parents and one for others.
    pub level: u32,
    /// The blocks of level 1 that are in this one.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub sources: Vec<Ulid>,
    /// True when nothing is left in the block.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that this one was made from directly.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub parents: Vec<BlockDesc>,
    /// True when compacting the block failed; it is not tried again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
    /// For compactors, such as `from-out-of-order`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub hints: Vec<String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A block and what it covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDesc {
    /// The block's name.
    pub ulid: Ulid,
    /// First millisecond that it covers.
    pub min_time: i64,
    /// First millisecond after.
    pub max_time: i64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The part of Thanos.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thanos {
    /// Of this part; 1, or absent in old files.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub version: u32,
    /// External labels: who produced the block.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How far samples are thinned out.
    #[serde(default)]
    pub downsample: Downsample,
    /// Which component wrote this file, such as `sidecar` or `compactor`.
    #[serde(default)]
    pub source: String,
    /// Names of chunk segments; all that old files say of their files.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub segment_files: Vec<String>,
    /// The files of the block, sorted by path.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub files: Vec<FileDesc>,
    /// What rewrites did to the block.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub rewrites: Vec<Value>,
    /// Sizes that readers plan their requests with.
    #[serde(default)]
    pub index_stats: IndexStats,
    /// Whatever others want to keep with the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// When the block was uploaded, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_time: Option<String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// How far samples are thinned out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Downsample {
    /// Milliseconds per sample: 0 (raw), 300,000 or 3,600,000.
    #[serde(default)]
    pub resolution: i64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileDesc {
    /// Path inside of the block, with `/`.
    pub rel_path: String,
    /// Size; absent for `meta.json` itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
    /// Hash, where the uploader computed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Hash of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileHash {
    /// `SHA256`.
    #[serde(rename = "hashFunc")]
    pub hash_func: String,
    /// In hexadecimal.
    pub value: String,
}

/// Sizes that readers plan their requests with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Largest series entry.
    #[serde(skip_serializing_if = "is_zero")]
    pub series_max_size: u64,
    /// Largest chunk.
    #[serde(skip_serializing_if = "is_zero")]
    pub chunk_max_size: u64,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Go prints a collection that was never set as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Meta {
    /// A block of level 1 that has itself as source.
    pub fn new(ulid: Ulid, range: TimeRange) -> Self {
        Self {
            ulid,
            min_time: range.min,
            max_time: range.max,
            stats: Stats::default(),
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: VERSION,
            thanos: None,
            unknown: Map::new(),
        }
    }

    /// What the block covers.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time)
    }

    /// Parses the bytes of the file `path`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they are not a `meta.json`, [`Error::Unsupported`] when its version
    /// is not 1.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        /// Just the version, so that a file of another version is not called damaged.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let damage = |e: serde_json::Error| {
            Corruption::new(
                offset_of(bytes, e.line(), e.column()),
                format!("a block's meta.json ({e})"),
            )
            .in_file(path)
        };
        let found: Versioned = serde_json::from_slice(bytes).map_err(damage)?;
        if found.version != u64::from(VERSION) {
            return Err(Error::Unsupported {
                what: format!("version {} of {}", found.version, path.display()),
                advice: "expected version 1; the file is damaged or of a later version, which reads it",
            });
        }
        let meta: Self = serde_json::from_slice(bytes).map_err(damage)?;
        if meta.min_time > meta.max_time {
            return Err(Corruption::new(0, "minTime not after maxTime").in_file(path));
        }
        Ok(meta)
    }

    /// Replaces the file of the block in `dir`, so that a crash leaves the old or the new one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn replace_in(&self, dir: &Path) -> Result<()> {
        replace(dir, META_FILE, &self.to_bytes())
    }

    /// The file's bytes, as Prometheus writes them, or with a `thanos` part, as Thanos does.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = to_go_json(self).expect("keys are strings and no number is NaN");
        if self.thanos.is_some() {
            out.push(b'\n');
        }
        out
    }
}

/// Offset of a line and column as `serde_json` counts them: both from 1, columns in bytes, and the
/// column 0 for the end of the line before.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> usize {
    let lines = bytes.split_inclusive(|&b| b == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column).saturating_sub(1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THANOS: &str = r#"{
	"ulid": "01M7XZ7BK60XV1D2W7C47ZY0TG",
	"minTime": 0,
	"maxTime": 7200000,
	"stats": {
		"numSamples": 2400,
		"numSeries": 5,
		"numChunks": 20,
		"numFuture": 3
	},
	"compaction": {
		"level": 2,
		"sources": [
			"01M7XZ7BK60XV1D2W7C47ZY0TG"
		],
		"failed": true,
		"hints": [
			"from-out-of-order"
		]
	},
	"version": 1,
	"thanos": {
		"version": 1,
		"labels": {
			"replica": "a\u0026b"
		},
		"downsample": {
			"resolution": 300000
		},
		"source": "compactor",
		"files": [
			{
				"rel_path": "chunks/000001",
				"size_bytes": 6628,
				"hash": {
					"hashFunc": "SHA256",
					"value": "00"
				}
			},
			{
				"rel_path": "meta.json"
			}
		],
		"index_stats": {
			"series_max_size": 16
		},
		"extensions": {
			"x": 1
		},
		"upload_time": "2026-01-02T03:04:05Z",
		"zz_future": [
			1
		]
	},
	"future": {
		"a": true
	}
}
"#;

    fn parse(text: &str) -> Result<Meta> {
        Meta::parse(text.as_bytes(), Path::new("b/meta.json"))
    }

    #[test]
    fn a_file_of_thanos_with_unknown_fields_round_trips() {
        let meta = parse(THANOS).unwrap();
        assert_eq!(meta.thanos.as_ref().unwrap().labels["replica"], "a&b");
        assert_eq!(String::from_utf8(meta.to_bytes()).unwrap(), THANOS);
    }

    #[test]
    fn null_collections_of_go_are_empty() {
        let text = r#"{"ulid":"01M7XZ7BK60XV1D2W7C47ZY0TG","minTime":0,"maxTime":1,"stats":{},
            "compaction":{"level":1,"sources":null},"version":1,"thanos":{"labels":null,"source":""}}"#;
        let meta = parse(text).unwrap();
        assert!(meta.compaction.sources.is_empty());
        assert!(meta.thanos.unwrap().labels.is_empty());
    }

    #[test]
    fn errors_name_file_offset_and_expectation() {
        let text = "{\n\"ulid\": \"01M7XZ7BK60XV1D2W7C47ZY0TG\",\n\"version\": x}";
        match parse(text).unwrap_err() {
            Error::Corrupt { file, offset, .. } => {
                assert_eq!(file, Path::new("b/meta.json"));
                assert_eq!(&text[offset as usize..], "x}");
            }
            other => panic!("{other}"),
        }
        let err = parse(&THANOS.replace("\"version\": 1,\n\t\"th", "\"version\": 2,\n\t\"th"));
        let err = err.unwrap_err().to_string();
        assert!(err.starts_with("version 2 of b/meta.json"), "{err}");
        assert!(parse("").is_err());
        assert!(parse(&"[".repeat(100_000)).is_err(), "nesting is bounded");
    }
}
