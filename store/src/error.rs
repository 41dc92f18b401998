//! What reading a bucket or a block failed with, as a [`StoreError`].

use model::ErrorKind;
use storeapi::StoreError;

/// An error of the bucket.
pub(crate) fn of_bucket(error: &bucket::Error) -> StoreError {
    StoreError::new(error.kind(), error.chain())
}

/// An error of a block's formats.
pub(crate) fn of_block(error: &tsdb::Error) -> StoreError {
    let kind = match error.kind() {
        // A file that is gone is no answer to the question that was asked.
        ErrorKind::NotFound => ErrorKind::Unavailable,
        kind => kind,
    };
    StoreError::new(kind, error.to_string())
}
