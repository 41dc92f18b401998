//! Thanos' configuration of caches, as far as memory of this process is what it asks for.
//!
//! ```yaml
//! type: IN-MEMORY
//! config: {max_size: 250MB}
//! ```
//!
//! What was read is kept in memory and, for buckets that are not folders here, on disk. No server of
//! caches is asked: where one is configured, that is said and the sizes of the flags hold.

use std::path::PathBuf;

use runtime::yaml::of_flag;
use runtime::{ByteSize, Environment, Error};
use serde::Deserialize;

use crate::flags::refused;

/// What Thanos keeps in memory unless told otherwise.
const MEMORY_DEFAULT: u64 = 250 << 20;

/// Flags with Thanos' configuration of caches.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheFlags {
    /// File with Thanos' configuration of the index cache. Of type IN-MEMORY, its size is used instead
    /// of --index-cache-size.
    #[arg(
        long = "index-cache.config-file",
        value_name = "FILE",
        conflicts_with = "index_cache_config"
    )]
    pub index_cache_config_file: Option<PathBuf>,
    /// The configuration of the index cache itself, instead of a file.
    #[arg(long = "index-cache.config", value_name = "YAML")]
    pub index_cache_config: Option<String>,
    /// File with Thanos' configuration of the caching bucket. Of type IN-MEMORY, its size is added to
    /// --chunk-pool-size.
    #[arg(
        long = "store.caching-bucket.config-file",
        value_name = "FILE",
        conflicts_with = "caching_bucket_config"
    )]
    pub caching_bucket_config_file: Option<PathBuf>,
    /// The configuration of the caching bucket itself, instead of a file.
    #[arg(long = "store.caching-bucket.config", value_name = "YAML")]
    pub caching_bucket_config: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: Option<Memory>,
}

#[derive(Debug, Default, Deserialize)]
struct Memory {
    max_size: Option<Size>,
}

/// A number of bytes, with or without a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl CacheFlags {
    /// Bytes for what is read of indexes, where a configuration says so.
    ///
    /// # Errors
    /// [`Error::Flag`] for a configuration that cannot be read, or of an unknown type.
    pub fn index_bytes(&self, environment: &Environment) -> Result<Option<u64>, Error> {
        let file = self.index_cache_config_file.as_deref();
        let (flag, text) = ("index-cache.config", self.index_cache_config.as_deref());
        configured(flag, environment.configuration(flag, file, text)?)
    }

    /// Further bytes for chunks, where a configuration says so.
    ///
    /// # Errors
    /// As [`CacheFlags::index_bytes`].
    pub fn chunk_bytes(&self, environment: &Environment) -> Result<Option<u64>, Error> {
        let file = self.caching_bucket_config_file.as_deref();
        let text = self.caching_bucket_config.as_deref();
        let flag = "store.caching-bucket.config";
        configured(flag, environment.configuration(flag, file, text)?)
    }
}

fn configured(flag: &'static str, text: Option<String>) -> Result<Option<u64>, Error> {
    let Some(document) = of_flag::<Document>(flag, text)? else {
        return Ok(None);
    };
    match document.kind.to_ascii_uppercase().as_str() {
        "IN-MEMORY" => {}
        kind @ ("MEMCACHED" | "REDIS") => {
            tracing::warn!(
                flag,
                kind,
                "no server of caches is asked; memory and disk of this process are used, as \
                 --index-cache-size, --chunk-pool-size and --disk-cache-size say"
            );
            return Ok(None);
        }
        _ => {
            let kind = &document.kind;
            let reason = format!("type {kind:?} is not known; use IN-MEMORY");
            return Err(refused(flag, &reason));
        }
    }
    match document.config.unwrap_or_default().max_size {
        None => Ok(Some(MEMORY_DEFAULT)),
        Some(Size::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Size::Text(text)) => {
            let size = text.parse::<ByteSize>();
            let size = size.map_err(|error| refused(flag, &format!("max_size: {error}")))?;
            Ok(Some(size.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<u64>, String> {
        configured("index-cache.config", Some(text.to_owned())).map_err(|e| e.to_string())
    }

    #[test]
    fn memory_is_taken_as_configured() {
        let sized = "type: IN-MEMORY\nconfig:\n  max_size: 1MB\n  max_item_size: 125KB\n";
        assert_eq!(of(sized), Ok(Some(1 << 20)));
        assert_eq!(
            of("{type: in-memory, config: {max_size: 4096}}"),
            Ok(Some(4096))
        );
        assert_eq!(of("type: IN-MEMORY"), Ok(Some(MEMORY_DEFAULT)));
        assert_eq!(of(" \n"), Ok(None));
        assert_eq!(configured("index-cache.config", None).unwrap(), None);
    }

    #[test]
    fn servers_are_not_asked_and_the_unknown_is_refused() {
        let memcached = "type: MEMCACHED\nconfig: {addresses: ['a:1'], max_item_size: 1MiB}\n";
        assert_eq!(of(memcached), Ok(None));
        for (text, named) in [
            ("type: DISK", "DISK"),
            ("config: {}", "type"),
            ("{type: IN-MEMORY, config: {max_size: much}}", "max_size"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.starts_with("--index-cache.config: "), "{error}");
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
