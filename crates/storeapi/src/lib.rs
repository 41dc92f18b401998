//! What every StoreAPI server shares.
//!
//! External labels identify the producer of a block or a head; they are not stored with its series
//! but added to them on the way out, and they win over a series' own label of the same name.
//!
//! So far: [`external_labels`], how a request's matchers meet external labels.

pub mod external_labels;
