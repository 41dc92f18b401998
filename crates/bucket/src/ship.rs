//! Uploading blocks so that a bucket never shows half of one.
//!
//! Chunks first, then the index, then `meta.json`, which makes the block visible; before that last
//! step the store is asked for the sizes of all that lies there. An upload that was cut off is gone
//! on with: what is there in full size is not sent again.

mod hash;
mod shipper;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod upload;

pub use hash::HashFunction;
pub use shipper::{Shipped, Shipper, ShipperConfig};
pub use state::META_FILE_NAME;
pub use stats::index_stats;
pub use upload::{Origin, Uploaded, upload_block, upload_block_if};
