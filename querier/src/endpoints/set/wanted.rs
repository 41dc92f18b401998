//! Which endpoints there should be, by flags, files and DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::address::{Address, Lookup};
use super::super::config::{self, ClientTls, EndpointConfig};
use super::super::files;
use super::super::resolve::Counted;
use super::SetOptions;

/// An endpoint that there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedEndpoint {
    pub(super) address: String,
    /// The address of its group.
    pub(super) group: Option<String>,
    pub(super) is_strict: bool,
    pub(super) tls: Option<ClientTls>,
}

/// Finds out which endpoints there should be. What cannot be found out now stays as it was.
#[derive(Debug)]
pub(super) struct Wanted {
    named: Vec<EndpointConfig>,
    config_file: Option<PathBuf>,
    from_config: Vec<EndpointConfig>,
    files: Vec<String>,
    from_files: Vec<EndpointConfig>,
    /// What files name that cannot be asked, and was told of.
    skipped: BTreeSet<String>,
    resolve: Arc<Counted>,
    lookup_interval: Duration,
    /// What addresses led to, and when.
    found: BTreeMap<Address, Found>,
}

#[derive(Debug, Default)]
struct Found {
    at_ms: i64,
    endpoints: Vec<String>,
}

impl Wanted {
    pub(super) fn new(options: &SetOptions, resolve: Arc<Counted>) -> Self {
        Self {
            named: options.endpoints.clone(),
            config_file: options.config_file.clone(),
            from_config: Vec::new(),
            files: options.files.clone(),
            from_files: Vec::new(),
            skipped: BTreeSet::new(),
            resolve,
            lookup_interval: options.lookup_interval,
            found: BTreeMap::new(),
        }
    }

    /// The endpoints that there should be now.
    pub(super) async fn endpoints(&mut self, now_ms: i64) -> Vec<WantedEndpoint> {
        self.read_files().await;
        let configs: Vec<EndpointConfig> = (self.named.iter())
            .chain(&self.from_config)
            .chain(&self.from_files)
            .cloned()
            .collect();
        let mut all = Vec::new();
        for config in &configs {
            self.look_up(config, now_ms).await;
            let found = self.found.get(&config.address);
            let addresses = found.map(|found| found.endpoints.as_slice());
            for address in addresses.unwrap_or_default() {
                all.push(WantedEndpoint {
                    address: address.clone(),
                    group: config.group.then(|| config.address.to_string()),
                    is_strict: config.strict,
                    tls: config.tls.clone(),
                });
            }
        }
        self.found
            .retain(|address, _| configs.iter().any(|config| config.address == *address));
        all
    }

    async fn read_files(&mut self) {
        let (config_file, patterns) = (self.config_file.clone(), self.files.clone());
        if config_file.is_none() && patterns.is_empty() {
            return;
        }
        let reading = runtime::process::blocking(move || {
            let config = config_file.map_or(Ok(Vec::new()), |path| {
                let shown = path.display();
                let text = std::fs::read_to_string(&path);
                let text = text.map_err(|e| format!("read {shown}: {e}"))?;
                config::parse(&text).map_err(|e| format!("read {shown}: {e}"))
            });
            (config, files::addresses(&patterns))
        });
        let (config, addresses) = reading.await;
        match config {
            Ok(config) => self.from_config = config,
            Err(error) => tracing::warn!(error, "endpoints stay as they were"),
        }
        match addresses {
            Ok(addresses) => self.take(&addresses),
            Err(error) => tracing::warn!(error, "endpoints stay as they were"),
        }
    }

    /// Takes the addresses of files, but those that cannot be read, of which each is told once.
    fn take(&mut self, addresses: &[String]) {
        self.from_files.clear();
        let mut skipped = BTreeSet::new();
        for address in addresses {
            match EndpointConfig::new(address, false, false) {
                Ok(config) => self.from_files.push(config),
                Err(reason) => {
                    if !self.skipped.contains(address) {
                        tracing::warn!(reason, "address in a file of endpoints is left out");
                    }
                    skipped.insert(address.clone());
                }
            }
        }
        self.skipped = skipped;
    }

    /// Looks an address up, if that was not done of late.
    async fn look_up(&mut self, config: &EndpointConfig, now_ms: i64) {
        let address = &config.address;
        let interval = i64::try_from(self.lookup_interval.as_millis()).unwrap_or(i64::MAX);
        let is_fresh = |found: &Found| now_ms.saturating_sub(found.at_ms) < interval;
        if self.found.get(address).is_some_and(is_fresh) {
            return;
        }
        let endpoints = match address.lookup {
            Lookup::Static => Ok(vec![address.name.clone()]),
            _ => self.resolve.resolve(address, config.group).await,
        };
        match endpoints {
            Ok(endpoints) => {
                let at_ms = now_ms;
                let found = Found { at_ms, endpoints };
                self.found.insert(address.clone(), found);
            }
            Err(error) => {
                tracing::warn!(%address, error, "address cannot be looked up");
                // Not again before the next time is due.
                self.found.entry(address.clone()).or_default().at_ms = now_ms;
            }
        }
    }
}
