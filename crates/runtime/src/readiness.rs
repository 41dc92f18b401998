//! Whether a component can answer, as its probes and its health service show.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether a component is ready to answer. Clones share it; it starts out as not.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<bool>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Readiness {
    /// Not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the component is ready from now on.
    pub fn set(&self, is_ready: bool) {
        self.state.send_replace(is_ready);
    }

    /// Whether it is.
    pub fn get(&self) -> bool {
        *self.state.borrow()
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.state.subscribe()
    }
}
