//! The connections to an endpoint.
//!
//! Most are driven by the runtime that the endpoint was made known on. Who waits for answers on a
//! runtime of his own has a connection there, so that he reads it himself and no other thread is
//! woken for him.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use runtime::Error;
use runtime::grpc::Connector;
use tokio::runtime::{Handle, Id};
use tonic::codegen::Service as _;
use tonic::transport::Channel;

/// Connections that all share: one carries about what a core can encrypt or copy.
const SHARED: usize = 3;

/// Other runtimes that are remembered; there are about as many as processors.
const OTHERS_MAX: usize = 256;

/// Channels to one endpoint.
pub(super) struct Channels {
    address: String,
    connector: Connector,
    /// The runtime of those that all share.
    home: Option<Id>,
    shared: Vec<Channel>,
    next: AtomicUsize,
    others: Mutex<HashMap<Id, Channel>>,
}

impl Channels {
    /// Channels to `HOST:PORT`, shared on the current runtime.
    pub(super) fn new(address: &str, connector: &Connector) -> Result<Self, Error> {
        let channel = |_| connector.channel(address);
        Ok(Self {
            address: address.to_owned(),
            connector: connector.clone(),
            home: current(),
            shared: (0..SHARED).map(channel).collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            others: Mutex::default(),
        })
    }

    /// Always the same of those that all share.
    pub(super) fn first(&self) -> Channel {
        self.shared[0].clone()
    }

    /// One of those that all share, in turn.
    pub(super) fn next(&self) -> Channel {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.shared[next % self.shared.len()].clone()
    }

    /// One that the current runtime drives.
    pub(super) fn here(&self) -> Channel {
        match current() {
            Some(id) if self.home != Some(id) => self.of(id),
            _ => self.next(),
        }
    }

    /// The one of the current runtime, which is `id`.
    fn of(&self, id: Id) -> Channel {
        let mut others = self.others.lock();
        if let Some(channel) = others.get(&id) {
            return channel.clone();
        }
        // The address was good for the shared ones.
        let Ok(channel) = self.connector.channel(&self.address) else {
            return self.next();
        };
        // There are new runtimes where old ones were given up.
        others.retain(|_, channel| !has_ended(channel));
        if others.len() >= OTHERS_MAX {
            others.clear();
        }
        others.insert(id, channel.clone());
        channel
    }
}

/// Whether the runtime that drove a channel is gone.
fn has_ended(channel: &Channel) -> bool {
    let mut channel = channel.clone();
    let ready = channel.poll_ready(&mut Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Err(_)))
}

fn current() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

#[cfg(test)]
mod tests {
    use runtime::grpc::GrpcClientConfig;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn channels_of_runtimes_that_are_gone_are_forgotten() {
        let connector = Connector::new(&GrpcClientConfig::default()).unwrap();
        let (home, alive) = (runtime(), runtime());
        let channels = {
            let _inside = home.enter();
            Channels::new("127.0.0.1:1", &connector).unwrap()
        };
        let ask = |runtime: &Runtime| runtime.block_on(async { channels.here() });
        drop(ask(&alive));
        for _ in 0..3 {
            drop(ask(&runtime()));
        }
        let known = channels.others.lock();
        let ids: Vec<_> = known.keys().collect();
        // The last one that is gone is found when there is a new one.
        assert_eq!(ids.len(), 2);
        assert!(ids.contains(&&alive.handle().id()));
    }
}
