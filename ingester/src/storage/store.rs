//! The [`Store`] over all tenants.
//!
//! As in Thanos' receive, a question is answered from the data of all tenants; their external labels
//! tell them apart, and whoever is to see one tenant only gets a matcher for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, BoxStream, StreamExt as _};
use model::Matcher;
use storeapi::external_labels::remaining_matchers;
use storeapi::{
    Frame, Info, InfoPart, LabelsRequest, PartialResponse, SeriesRequest, Store, StoreError,
    Strings,
};
use tsdb::Error;
use tsdb::block::Block;

use super::frames::{Frames, Step};
use super::tenants::{Tenant, Tenants};
use super::workers::Workers;

/// Serves what the tenants have.
#[derive(Debug, Clone)]
pub struct TsdbStore {
    tenants: Arc<Tenants>,
    workers: Arc<Workers>,
    held: Arc<HeldBlocks>,
}

/// The blocks of all tenants as of one moment, by the tenants' names. They stay readable while they
/// are held.
pub type HeldBlocks = BTreeMap<Arc<str>, Arc<Vec<Arc<Block>>>>;

impl TsdbStore {
    /// Serves `tenants` with as many threads of its own.
    ///
    /// # Errors
    /// [`Error::Io`] when the system has no threads left.
    pub fn new(tenants: Arc<Tenants>, threads: usize) -> Result<Self, Error> {
        Ok(Self {
            tenants,
            workers: Arc::new(Workers::new(threads)?),
            held: Arc::default(),
        })
    }

    /// The same, whose series are those of the blocks `held` too if they are removed meanwhile.
    pub fn holding(&self, held: HeldBlocks) -> Self {
        Self {
            held: Arc::new(held),
            ..self.clone()
        }
    }

    /// Asks all tenants whose external labels the request allows, and puts their strings together.
    fn strings(
        &self,
        request: LabelsRequest,
        ask: impl Fn(&Tenant, &[Matcher], &LabelsRequest) -> Result<Vec<String>, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let (tenants, workers) = (Arc::clone(&self.tenants), Arc::clone(&self.workers));
        let may_block = request.may_block;
        let job = move || {
            let mut all = BTreeSet::new();
            let mut warnings = broken(&tenants, &request.matchers, request.partial_response)?;
            for tenant in tenants.all() {
                let Some(matchers) = remaining_matchers(&request.matchers, &tenant.labels) else {
                    continue;
                };
                match ask(&tenant, &matchers, &request) {
                    Ok(strings) => all.extend(strings),
                    Err(e) => warnings.push(tolerate(&tenant.name, &e, request.partial_response)?),
                }
            }
            Ok(Strings {
                values: all.into_iter().take(limit(request.limit)).collect(),
                warnings,
            })
        };
        // Nothing is done before it is asked for.
        async move {
            match may_block {
                true => job(),
                false => workers.start(job).await,
            }
        }
        .boxed()
    }
}

/// The frames from `open` on, each made by whoever asks for it.
fn made_when_asked(
    open: impl FnOnce() -> Step + Send + 'static,
) -> impl Iterator<Item = Result<Frame, StoreError>> + Send {
    let mut next: Option<Box<dyn FnOnce() -> Step + Send>> = Some(Box::new(open));
    std::iter::from_fn(move || match next.take()?() {
        Ok(Some((frame, frames))) => {
            next = Some(Box::new(move || frames.step()));
            Some(Ok(frame))
        }
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    })
}

impl Store for TsdbStore {
    fn is_local(&self) -> bool {
        true
    }

    fn info(&self) -> Info {
        let parts: Vec<InfoPart> = (self.tenants.all().iter())
            .map(|tenant| InfoPart {
                labels: tenant.labels.clone(),
                min_time: tenant.db.time_range().map_or(i64::MAX, |range| range.min),
                max_time: i64::MAX,
            })
            .collect();
        let label_sets = parts.iter().map(|p| p.labels.clone());
        Info {
            label_sets: label_sets.filter(|labels| !labels.is_empty()).collect(),
            min_time: parts.iter().map(|p| p.min_time).min().unwrap_or(i64::MAX),
            max_time: i64::MAX,
            parts,
            supports_without_replica_labels: true,
            supports_sharding: true,
        }
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        let (tenants, workers) = (Arc::clone(&self.tenants), Arc::clone(&self.workers));
        let held = Arc::clone(&self.held);
        let may_block = request.may_block;
        let open = move || Frames::open(&tenants, &held, request)?.step();
        if may_block {
            return stream::iter(made_when_asked(open)).boxed();
        }
        let first = {
            let workers = Arc::clone(&workers);
            // Nothing is done before it is asked for.
            async move { workers.start(open).await }
        };
        stream::unfold(
            Some(first.boxed()),
            move |pending: Option<BoxFuture<'static, Step>>| {
                let workers = Arc::clone(&workers);
                async move {
                    match pending?.await {
                        Ok(Some((frame, frames))) => {
                            // The next frame is made while this one is looked at.
                            let next = workers.start(move || frames.step());
                            Some((Ok(frame), Some(next)))
                        }
                        Ok(None) => None,
                        Err(error) => Some((Err(error), None)),
                    }
                }
            },
        )
        .boxed()
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        self.strings(request, |tenant, matchers, request| {
            let mut names = tenant.db.label_names(matchers, request.range, usize::MAX)?;
            if !names.is_empty() {
                names.extend(tenant.labels.iter().map(|(name, _)| name.to_owned()));
            }
            names.retain(|name| !request.without_replica_labels.contains(name));
            Ok(names)
        })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        if name.is_empty() {
            let error = StoreError::empty_label_name();
            return async { Err(error) }.boxed();
        }
        if request.without_replica_labels.contains(&name) {
            return async { Ok(Strings::default()) }.boxed();
        }
        self.strings(request, move |tenant, matchers, request| {
            match tenant.labels.get(&name) {
                Some(value) => {
                    let any = tenant
                        .db
                        .select(matchers, request.range)?
                        .next()
                        .transpose()?;
                    Ok(any.map(|_| value.to_owned()).into_iter().collect())
                }
                None => (tenant.db).label_values(&name, matchers, request.range, usize::MAX),
            }
        })
    }
}

/// Warnings of the tenants that are asked for and cannot be opened.
///
/// # Errors
/// The first of them, when no part may be missing.
pub(super) fn broken(
    tenants: &Tenants,
    matchers: &[Matcher],
    partial: PartialResponse,
) -> Result<Vec<String>, StoreError> {
    let broken = tenants.broken();
    let asked = broken
        .iter()
        .filter(|(name, _)| remaining_matchers(matchers, &tenants.labels_of(name)).is_some());
    asked
        .map(|(name, error)| tolerate(name, error, partial))
        .collect()
}

/// Makes a warning of what cannot be had of a tenant.
///
/// # Errors
/// What cannot be had, when no part may be missing.
pub(super) fn tolerate(
    tenant: &str,
    error: &Error,
    partial: PartialResponse,
) -> Result<String, StoreError> {
    let error = store_error(tenant, error);
    match partial {
        PartialResponse::Warn => Ok(error.message),
        PartialResponse::Abort => Err(error),
    }
}

/// An error of a tenant's TSDB as one of the store.
pub(super) fn store_error(tenant: &str, error: &Error) -> StoreError {
    let causes = model::error::chain(error);
    StoreError::new(error.kind(), format!("tenant {tenant}: {causes}"))
}

/// As many as a request asks for; 0 stands for all.
pub(super) const fn limit(asked: usize) -> usize {
    match asked {
        0 => usize::MAX,
        limit => limit,
    }
}

#[cfg(test)]
mod tests;
