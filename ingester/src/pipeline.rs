//! Between receivers and the storage: filters and limits that a file says, which may be read again
//! while points flow.
//!
//! A receiver holds a [`Stage`]. Points as their decoder names them go through the rules `before`;
//! what is left is held against the limits; the rules `after` then see the series as it is to be
//! stored. Where nothing is said for a receiver, its points are not looked at at all.

mod refine;
mod series_limit;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::labels::NameScheme;
use model::relabel::{RelabelConfig, RelabelRule};
use parking_lot::{Mutex, RwLock};

use crate::config::pipeline::{self as said, PipelineConfig, PipelineError, SaidLimits};
use crate::protocols::REGISTERED;
use series_limit::SeriesLimit;

pub(crate) use refine::push_series;
pub use refine::{Dropped, Refined};

/// The receiver of remote write, as the file names it.
pub const REMOTE_WRITE: &str = "remote_write";

/// Rules and limits of one receiver, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    before: Vec<RelabelRule>,
    after: Vec<RelabelRule>,
    limits: SaidLimits,
    tenants: BTreeMap<String, SaidLimits>,
}

impl Rules {
    fn new(all: &said::Stage, own: Option<&said::Stage>) -> Self {
        let compiled = |rules: fn(&said::Stage) -> &Vec<RelabelConfig>| {
            let own = own.into_iter().flat_map(rules);
            let compile = |rule: &RelabelConfig| {
                let compiled = rule.compile(NameScheme::Utf8);
                compiled.expect("rules were compiled when they were read")
            };
            own.chain(rules(all)).map(compile).collect()
        };
        let limits = own.map_or_else(SaidLimits::default, |own| own.limits);
        let limits = limits.or(all.limits);
        let tenants = [Some(all), own].into_iter().flatten();
        let tenants = tenants.flat_map(|stage| &stage.tenants);
        let mut by_tenant = BTreeMap::<String, SaidLimits>::new();
        for (name, said) in tenants {
            let known = by_tenant.get(name).copied().unwrap_or_default();
            by_tenant.insert(name.clone(), said.or(known));
        }
        Self {
            before: compiled(|stage| &stage.before),
            after: compiled(|stage| &stage.after),
            tenants: (by_tenant.into_iter())
                .map(|(name, said)| (name, said.or(limits)))
                .collect(),
            limits,
        }
    }

    /// Limits of a tenant, `""` being the default one.
    pub fn limits(&self, tenant: &str) -> SaidLimits {
        self.tenants.get(tenant).copied().unwrap_or(self.limits)
    }
}

/// Rules by receiver.
type ByReceiver = HashMap<&'static str, Arc<Rules>>;

/// What the file says, as of now.
pub struct Pipeline {
    file: Option<PathBuf>,
    rules: RwLock<ByReceiver>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        f.debug_struct("Pipeline").field("file", file).finish()
    }
}

impl Default for Pipeline {
    /// One without a file.
    fn default() -> Self {
        Self {
            file: None,
            rules: RwLock::new(by_receiver(&PipelineConfig::default())),
        }
    }
}

/// Names of all receivers.
fn receivers() -> impl Iterator<Item = &'static str> {
    let protocols = REGISTERED.iter().map(|protocol| protocol.name);
    protocols.chain([REMOTE_WRITE])
}

fn by_receiver(config: &PipelineConfig) -> ByReceiver {
    let rules = receivers().map(|name| {
        let rules = Rules::new(&config.all, config.receivers.get(name));
        (name, Arc::new(rules))
    });
    rules.collect()
}

fn load(file: &std::path::Path) -> Result<ByReceiver, PipelineError> {
    let known: Vec<_> = receivers().collect();
    PipelineConfig::load(file, &known).map(|config| by_receiver(&config))
}

impl Pipeline {
    /// Reads `file`, where there is one.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn open(file: Option<PathBuf>) -> Result<Self, PipelineError> {
        match file {
            None => Ok(Self::default()),
            Some(file) => Ok(Self {
                rules: RwLock::new(load(&file)?),
                file: Some(file),
            }),
        }
    }

    /// Reads the file again; the old rules stay when it is wrong.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn reload(&self) -> Result<(), PipelineError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let rules = load(file)?;
        *self.rules.write() = rules;
        tracing::info!(file = %file.display(), "the pipeline's file was read again");
        Ok(())
    }

    /// One that this text says.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        let known: Vec<_> = receivers().collect();
        let config = PipelineConfig::parse(text, &known).expect(text);
        Self {
            file: None,
            rules: RwLock::new(by_receiver(&config)),
        }
    }

    /// The part of the receiver `name`.
    pub fn stage(self: &Arc<Self>, name: &'static str) -> Stage {
        Stage {
            name,
            pipeline: Arc::clone(self),
            series: Arc::default(),
        }
    }
}

/// The pipeline as one receiver uses it. Clones share what was counted.
#[derive(Debug, Clone)]
pub struct Stage {
    name: &'static str,
    pipeline: Arc<Pipeline>,
    /// Series of late, by tenant, where they are limited.
    series: Arc<Mutex<HashMap<String, SeriesLimit>>>,
}

impl Stage {
    /// The rules as of now.
    pub fn rules(&self) -> Arc<Rules> {
        let rules = self.pipeline.rules.read();
        rules.get(self.name).map(Arc::clone).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
