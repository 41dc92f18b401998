//! What the store answers over HTTP: figures, and which blocks it serves. The server itself answers
//! the probes.

use std::sync::Arc;

use runtime::metrics::{Collect, Exposition};
use storeapi::block_viewer::{Blocks, Listed, View};
use tokio::runtime::Handle;
use tsdb::block::Meta;
use ulid::Ulid;

use crate::gateway::Gateway;
use crate::sync::Syncer;

/// Figures of the gateway, its syncs and its bucket.
#[derive(Debug)]
pub struct Figures {
    gateway: Gateway,
    syncer: Arc<Syncer>,
}

impl Figures {
    /// The figures of these two.
    pub fn new(gateway: Gateway, syncer: Arc<Syncer>) -> Self {
        Self { gateway, syncer }
    }
}

impl Collect for Figures {
    fn collect(&self, out: &mut Exposition) {
        self.gateway.collect(out);
        self.syncer.visit(&mut |figure| out.add(figure));
    }
}

/// The blocks that the gateway serves, and those that were seen in the bucket.
#[derive(Debug)]
pub struct KnownBlocks {
    gateway: Gateway,
    syncer: Arc<Syncer>,
}

impl KnownBlocks {
    /// What `gateway` serves and `syncer` saw.
    pub fn new(gateway: Gateway, syncer: Arc<Syncer>) -> Self {
        Self { gateway, syncer }
    }
}

impl Blocks for KnownBlocks {
    fn listed(&self, view: View) -> Listed {
        let seen = self.syncer.seen();
        let blocks = match view {
            View::Loaded => self.gateway.blocks().iter().map(|b| b.id()).collect(),
            View::Global => seen.blocks.iter().map(|outline| outline.id).collect(),
        };
        Listed {
            blocks,
            at_ms: seen.at_ms,
            error: seen.error,
        }
    }

    fn meta(&self, id: Ulid) -> Option<Arc<Meta>> {
        let copy = self.syncer.copy_of_meta(id);
        // The thread may block.
        let read = || Handle::current().block_on(self.syncer.meta(id)).ok();
        copy.or_else(read).map(Arc::new)
    }
}
