//! Names and values of labels of one block.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::stop::Pace;
use model::{MatchOp, Matcher};
use runtime::process::blocking_unless;
use storeapi::{Series, StoreError};

use crate::block::{Block, OpenBlock};
use crate::error::of_block;
use crate::limits::Usage;
use crate::select::{BlockSelect, Deps, Wanted};

/// A question for labels of a block.
#[derive(Debug, Clone)]
pub struct LabelsOf {
    /// The block.
    pub block: Arc<Block>,
    /// Matchers for its series, those that external labels left.
    pub matchers: Arc<[Matcher]>,
    /// What is wanted; chunks are not.
    pub wanted: Arc<Wanted>,
    /// What the request may cost.
    pub usage: Arc<Usage>,
}

impl LabelsOf {
    /// The names of the labels of the block's series.
    ///
    /// # Errors
    /// As [`BlockSelect::next`].
    pub async fn names(self, deps: Arc<Deps>) -> Result<BTreeSet<String>, StoreError> {
        let open = deps.opener.open(&self.block).await?;
        let mut names: BTreeSet<String> = match &*open {
            _ if self.matchers.is_empty() => {
                open.index().label_names().map(str::to_owned).collect()
            }
            OpenBlock::Local { .. } => {
                let (open, matchers) = (Arc::clone(&open), self.matchers);
                let stop = self.wanted.stop.clone();
                let names = move || {
                    let pace = Pace::new(&stop);
                    open.index().label_names_matching(&matchers, &pace)
                };
                let names = blocking_unless(self.wanted.may_block, names).await;
                names.map_err(|e| of_block(&e))?.into_iter().collect()
            }
            OpenBlock::Remote { .. } => {
                let mut names = BTreeSet::new();
                let add = |series: &Series| {
                    for (name, _) in &series.labels {
                        if !names.contains(name) {
                            names.insert(name.to_owned());
                        }
                    }
                };
                return self.for_each_series(deps, add).await.map(|()| names);
            }
        };
        if !names.is_empty() {
            names.extend(
                self.block
                    .external()
                    .iter()
                    .map(|(name, _)| name.to_owned()),
            );
        }
        names.retain(|name| !self.wanted.without.contains(name));
        Ok(names)
    }

    /// The values of the label `name` of the block's series.
    ///
    /// # Errors
    /// As [`BlockSelect::next`].
    pub async fn values(
        self,
        deps: Arc<Deps>,
        name: String,
    ) -> Result<BTreeSet<String>, StoreError> {
        if self.wanted.without.contains(&name) {
            return Ok(BTreeSet::new());
        }
        if let Some(value) = self.block.external().get(&name) {
            let value = value.to_owned();
            let is_there = self.matchers.is_empty() || self.has_series(deps).await?;
            return Ok(is_there.then_some(value).into_iter().collect());
        }
        let open = deps.opener.open(&self.block).await?;
        match &*open {
            OpenBlock::Remote { .. } if !self.matchers.is_empty() => {
                let mut values = BTreeSet::new();
                let add = |series: &Series| {
                    if let Some(value) = series.labels.get(&name)
                        && !values.contains(value)
                    {
                        values.insert(value.to_owned());
                    }
                };
                let mut having = self;
                let set = Matcher::new(MatchOp::NotEqual, &name, "").ok();
                having.matchers = having.matchers.iter().cloned().chain(set).collect();
                having.for_each_series(deps, add).await.map(|()| values)
            }
            _ => {
                let matchers = self.matchers;
                let (open, stop) = (Arc::clone(&open), self.wanted.stop.clone());
                let values = move || {
                    let pace = Pace::new(&stop);
                    open.index().label_values_matching(&name, &matchers, &pace)
                };
                let values = blocking_unless(self.wanted.may_block, values).await;
                Ok(values.map_err(|e| of_block(&e))?.into_iter().collect())
            }
        }
    }

    async fn select(&self, deps: Arc<Deps>) -> Result<BlockSelect, StoreError> {
        let (block, wanted) = (Arc::clone(&self.block), Arc::clone(&self.wanted));
        let usage = Arc::clone(&self.usage);
        BlockSelect::new(deps, block, Arc::clone(&self.matchers), wanted, usage).await
    }

    async fn has_series(&self, deps: Arc<Deps>) -> Result<bool, StoreError> {
        let mut select = self.select(deps).await?;
        while let Some(batch) = select.next().await? {
            if !batch.series.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn for_each_series(
        &self,
        deps: Arc<Deps>,
        mut each: impl FnMut(&Series),
    ) -> Result<(), StoreError> {
        let mut select = self.select(deps).await?;
        while let Some(batch) = select.next().await? {
            (batch.series.iter()).for_each(|selected| each(&selected.series));
        }
        Ok(())
    }
}
