//! Writing and deleting objects.

use bytes::Bytes;
use model::ErrorKind;
use object_store::{
    Attributes, Error as StoreError, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use super::{Bucket, optional};
use crate::error::{Error, Result};
use crate::metrics::Operation;

impl Bucket {
    fn put_options(&self, mode: PutMode) -> PutOptions {
        PutOptions {
            mode,
            attributes: Attributes::clone(&self.attributes),
            ..PutOptions::default()
        }
    }

    /// Writes an object, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        self.measured(Operation::Upload, async {
            let path = self.path(key)?;
            let size = bytes.len() as u64;
            let payload = PutPayload::from_bytes(bytes);
            let options = self.put_options(PutMode::Overwrite);
            let put = self.store.put_opts(&path, payload, options).await;
            put.map_err(|e| Error::store("write", key, e))?;
            Ok((size, ()))
        })
        .await
    }

    /// Writes an object unless there is one; returns whether it was written.
    ///
    /// `bytes` must not be what another writer would write: when the answer to a successful write
    /// is lost, the object is found there and known by its content.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn create(&self, key: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let bytes = bytes.into();
        let path = self.path(key)?;
        let created = self.measured(Operation::Upload, async {
            let payload = PutPayload::from_bytes(bytes.clone());
            let options = self.put_options(PutMode::Create);
            match (self.store.put_opts(&path, payload, options)).await {
                Ok(_) => Ok((bytes.len() as u64, true)),
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    Ok((0, false))
                }
                Err(e) => Err(Error::store("create", key, e)),
            }
        });
        let failure = match created.await {
            Ok(true) => return Ok(true),
            Ok(false) => None,
            // It may have taken effect all the same. The store's client does not repeat it.
            Err(e) if e.kind() == ErrorKind::Unavailable => Some(e),
            Err(e) => return Err(e),
        };
        let there = self.find(key, bytes.len() as u64).await;
        match (there, failure) {
            (Ok(Some(there)), _) => Ok(there == bytes),
            (Err(Error::TooLarge { .. }), _) => Ok(false),
            (_, Some(failure)) => Err(failure),
            (Ok(None), None) => Ok(false),
            (Err(e), None) => Err(e),
        }
    }

    /// Deletes an object; that there is none is no error.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let deleted = self.measured(Operation::Delete, async {
            let path = self.path(key)?;
            let deleted = self.store.delete(&path).await;
            deleted.map_err(|e| Error::store("delete", key, e))?;
            Ok((0, ()))
        });
        optional(deleted.await).map(|_| ())
    }
}
