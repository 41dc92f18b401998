//! What takes pushes before the data is open: filters, limits, the buffer and the receivers of
//! foreign protocols.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::flags::make_dir;
use runtime::process::Shutdown;
use runtime::{Clock, Error};
use serde_json::{Value, json};

use crate::append::Appender;
use crate::buffer::{BUFFER, Buffer, BufferOptions};
use crate::core::Deps;
use crate::flags::{Config, LayoutFlag};
use crate::pipeline::{Pipeline, REMOTE_WRITE, Stage};
use crate::protocols;
use crate::protocols::LateManager;
use crate::protocols::sink::Destination;
use crate::protocols::status::{ReceiverStatus, Status};
use crate::scrape::Manager;

/// Directory of what is on its way, beside the TSDBs: no tenant's name begins with a dot.
pub(crate) const DIR: &str = ".pipeline";

/// The part of an ingester that clients push to. Clones share it.
#[derive(Debug, Clone)]
pub struct Front {
    pipeline: Arc<Pipeline>,
    status: Arc<Status>,
    buffer: Arc<Buffer>,
    protocols: protocols::Settings,
    scraping: LateManager,
    /// Where receivers listen, by name.
    addresses: Arc<Mutex<BTreeMap<&'static str, SocketAddr>>>,
    clock: Arc<dyn Clock>,
}

impl Front {
    /// Reads the pipeline's file and opens the buffer. Call on a thread that may block.
    ///
    /// # Errors
    /// [`Error::Start`] when the file is wrong, or the buffer cannot be had.
    pub fn open(config: &Config, deps: &Deps) -> Result<Self, Error> {
        let failed =
            |action: &str, source: Box<dyn std::error::Error + Send + Sync>| Error::Start {
                action: action.to_owned(),
                source,
            };
        make_dir("tsdb.path", &config.tsdb.path)?;
        let protocols = config.protocols.clone();
        let pipeline = Pipeline::open(protocols.pipeline_file.clone());
        let pipeline = pipeline.map_err(|e| failed("read --pipeline.config-file", e.into()))?;
        let status = Arc::<Status>::default();
        let options = BufferOptions {
            dir: config.tsdb.path.join(DIR).join("buffer"),
            bytes_max: protocols.buffer_bytes_max,
            single_tenant: config.tsdb.layout == LayoutFlag::Single,
            lock: config.tsdb.lock,
        };
        let buffer = Buffer::open(options, Arc::clone(&deps.clock), status.of(BUFFER));
        let buffer = Arc::new(buffer.map_err(|e| failed("open the buffer of pushes", e.into()))?);
        deps.registry.register(Arc::<Status>::clone(&status));
        deps.registry.register(Arc::<Buffer>::clone(&buffer));
        Ok(Self {
            pipeline: Arc::new(pipeline),
            status,
            buffer,
            protocols,
            scraping: LateManager::default(),
            addresses: Arc::default(),
            clock: Arc::clone(&deps.clock),
        })
    }

    /// Starts the receivers, which end with `shutdown`.
    ///
    /// # Errors
    /// [`Error::System`] for an address that was said and cannot be had.
    pub async fn start(&self, shutdown: Shutdown) -> Result<protocols::Running, Error> {
        let settings = self.protocols.clone();
        let scraping = LateManager::clone(&self.scraping);
        let destination = Destination {
            appender: Arc::<Buffer>::clone(&self.buffer),
            clock: Arc::clone(&self.clock),
            tenants: settings.tenants.clone(),
            pipeline: Arc::clone(&self.pipeline),
            status: Arc::clone(&self.status),
        };
        let running = protocols::start(settings, destination, scraping, shutdown).await?;
        for (name, address) in &running.addresses {
            tracing::info!(%address, what = name, "listening");
        }
        self.addresses
            .lock()
            .extend(running.addresses.iter().copied());
        Ok(running)
    }

    /// Hands pushes on to `storage`, also those that were held until now.
    pub(crate) fn attach(&self, storage: Arc<dyn Appender>) {
        self.buffer.attach(storage);
    }

    /// Has receivers show what `manager` scrapes. A second call changes nothing.
    pub(crate) fn attach_scraping(&self, manager: Arc<Manager>) {
        // The first one stays.
        let _ = self.scraping.set(manager);
    }

    /// Hands on what is held, whenever there is something, until told to stop.
    pub(crate) async fn run(&self, shutdown: Shutdown) {
        Arc::clone(&self.buffer).run(shutdown).await;
    }

    /// The stage of remote write, and where that counts.
    pub(crate) fn remote_write(&self) -> (Stage, ReceiverStatus) {
        let stage = self.pipeline.stage(REMOTE_WRITE);
        (stage, self.status.of(REMOTE_WRITE))
    }

    /// Reads the pipeline's file again; the old rules stay when it is wrong.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.pipeline.reload().map_err(|error| error.to_string())
    }

    /// What `/api/v1/status/ingest` shows of it.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "receivers": self.status.figures(),
            "addresses": *self.addresses.lock(),
            "refused": self.status.recent(),
            "buffer": self.buffer.figures(),
        })
    }
}
