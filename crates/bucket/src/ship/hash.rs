//! Hashes of a block's files in its `meta.json`, by which Thanos knows what it need not download again.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use tsdb::block::meta::FileHash;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// How files of blocks are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashFunction {
    /// They are not.
    #[default]
    None,
    /// By SHA-256.
    Sha256,
}

impl FromStr for HashFunction {
    type Err = String;

    /// Reads Thanos' name of the function; the empty one is none.
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "" => Ok(Self::None),
            "SHA256" => Ok(Self::Sha256),
            _ => Err("use SHA256, or leave it empty".to_owned()),
        }
    }
}

impl HashFunction {
    /// The hash of a file, unless files are not hashed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(self, file: &Path) -> io::Result<Option<FileHash>> {
        if self == Self::None {
            return Ok(None);
        }
        let mut opened = File::open(file)?;
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match opened.read(&mut buffer)? {
                0 => break,
                n => context.update(&buffer[..n]),
            }
        }
        let digest = context.finish();
        let value = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Ok(Some(FileHash {
            hash_func: "SHA256".to_owned(),
            value: value.collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_hash_that_sha256sum_prints() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(HashFunction::None.of(&file).unwrap(), None);
        let hash = HashFunction::Sha256.of(&file).unwrap().unwrap();
        assert_eq!(hash.hash_func, "SHA256");
        assert_eq!(
            hash.value,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!("MD5".parse::<HashFunction>().is_err());
    }
}
