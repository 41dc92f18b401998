//! Whole files to and from a bucket, in bounded memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::{MultipartUpload, ObjectStoreExt as _, PutMultipartOptions, PutPayload};
use tokio::io::AsyncWriteExt as _;

use crate::client::Bucket;
use crate::error::{Error, Result};
use crate::metrics::Operation;

/// Files up to this size are written by one request, larger ones in parts of at least it.
const PART_BYTES: u64 = 16 << 20;

/// Parts of one file under way at once.
const PARTS_PARALLEL: usize = 4;

/// S3 takes ten thousand parts; a few are left for good measure.
const PARTS_MAX: u64 = 9_900;

impl Bucket {
    /// Writes a file as the object `key`, replacing what is there, and returns its size. The object
    /// appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Local`] when the file cannot be read, [`Error::Store`].
    pub async fn upload_file(&self, file: &Path, key: &str) -> Result<u64> {
        let (opened, size) = open(file).await?;
        if size <= PART_BYTES {
            let bytes = read_at(&opened, file, 0, size).await?;
            self.put(key, bytes).await?;
            return Ok(size);
        }
        self.measured(Operation::Upload, async {
            let path = self.path(key)?;
            let failed = |e| Error::store("write", key, e);
            let options = PutMultipartOptions {
                attributes: self.written_with().clone(),
                ..PutMultipartOptions::default()
            };
            let upload = self.store().put_multipart_opts(&path, options).await;
            let mut upload = upload.map_err(failed)?;
            let parts = upload_parts(upload.as_mut(), &opened, file, size, key).await;
            let completed = match parts {
                Ok(()) => upload.complete().await.map(drop).map_err(failed),
                Err(e) => Err(e),
            };
            if let Err(e) = completed {
                // Best effort: what stays behind is what the store expires.
                let _ = upload.abort().await;
                return Err(e);
            }
            Ok((size, size))
        })
        .await
    }

    /// Writes the object `key` into the new file `file` and returns its size. The file's content
    /// is not made durable.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Local`], [`Error::Length`] when the body was cut; what was
    /// written then stays.
    pub async fn download_file(&self, key: &str, file: &Path) -> Result<u64> {
        self.measured(Operation::Get, async {
            let path = self.path(key)?;
            let failed = |e| Error::store("read", key, e);
            let local = |e| Error::local("write", file, e);
            let found = self.store().get(&path).await.map_err(failed)?;
            let expected = found.meta.size;
            let mut out = tokio::fs::File::create(file).await.map_err(local)?;
            let mut body = found.into_stream();
            let mut written = 0;
            while let Some(bytes) = body.next().await {
                let bytes = bytes.map_err(failed)?;
                out.write_all(&bytes).await.map_err(local)?;
                written += bytes.len() as u64;
            }
            out.flush().await.map_err(local)?;
            match written == expected {
                true => Ok((written, written)),
                false => Err(Error::Length {
                    key: key.to_owned(),
                    expected,
                    found: written,
                }),
            }
        })
        .await
    }
}

async fn upload_parts(
    upload: &mut dyn MultipartUpload,
    opened: &Arc<File>,
    file: &Path,
    size: u64,
    key: &str,
) -> Result<()> {
    let part = PART_BYTES.max(size.div_ceil(PARTS_MAX));
    let mut parts = stream::iter((0..size).step_by(part as usize))
        .map(|at| read_at(opened, file, at, part.min(size - at)))
        .buffered(2);
    let mut running = stream::FuturesUnordered::new();
    while let Some(bytes) = parts.try_next().await? {
        // Parts are numbered as they are handed over; their requests may overtake each other.
        running.push(upload.put_part(PutPayload::from_bytes(bytes)));
        while running.len() >= PARTS_PARALLEL {
            let done = running.try_next().await;
            done.map_err(|e| Error::store("write a part of", key, e))?;
        }
    }
    let rest = running.try_collect::<Vec<()>>().await;
    rest.map(drop)
        .map_err(|e| Error::store("write a part of", key, e))
}

async fn open(file: &Path) -> Result<(Arc<File>, u64)> {
    let path = file.to_owned();
    on_blocking_thread(move || {
        let opened = File::open(&path)?;
        let size = opened.metadata()?.len();
        Ok((Arc::new(opened), size))
    })
    .await
    .map_err(|e| Error::local("open", file, e))
}

async fn read_at(opened: &Arc<File>, file: &Path, at: u64, len: u64) -> Result<Bytes> {
    let opened = Arc::clone(opened);
    let read = on_blocking_thread(move || {
        // At most one part, or a small file.
        let mut bytes = vec![0; len as usize];
        opened.read_exact_at(&mut bytes, at)?;
        Ok(Bytes::from(bytes))
    });
    read.await.map_err(|e| Error::local("read", file, e))
}

/// Runs file work where it may block.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(io::Error::other(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn round_trip(size: usize) {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_directory(&dir.path().join("bucket")).unwrap();
        let content: Vec<u8> = (0..size).map(|i| (i / 7 % 251) as u8).collect();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, &content).unwrap();
        assert_eq!(bucket.upload_file(&from, "a/k").await.unwrap(), size as u64);
        assert_eq!(bucket.download_file("a/k", &to).await.unwrap(), size as u64);
        assert!(fs::read(&to).unwrap() == content, "{size} bytes");
    }

    #[tokio::test]
    async fn files_come_back_whole() {
        round_trip(0).await;
        round_trip(1000).await;
        round_trip(PART_BYTES as usize * 2 + 3).await;
    }
}
