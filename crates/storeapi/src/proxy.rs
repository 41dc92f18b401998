//! One store that asks many.
//!
//! [`Proxy`] is the pure fan-out: who its stores are, and what they have, is told to it by
//! [`Members`]. It asks those that may have something, all at once, and merges what they say. What
//! becomes of a store that fails is the request's choice ([`PartialResponse`]): a warning that
//! names the store, or an error.

mod answers;
mod fan_out;
mod members;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::{self, BoxStream, StreamExt as _};
use model::{ErrorKind, Matcher, TimeRange};

use crate::merge::{Frames, in_shard, limited, merged, without_labels};
use crate::store::{
    Frame, Info, LabelsRequest, PartialResponse, SeriesRequest, Store, StoreError, Strings,
};
use answers::{Policy, Questions};
pub use fan_out::{Asked, FanOut};
pub use members::{Member, Members, may_have};

/// How members are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyConfig {
    /// How long a member may say nothing while it owes an answer; zero for ever.
    pub silence_max: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            silence_max: Duration::from_secs(120),
        }
    }
}

/// A store of stores.
#[derive(Debug, Clone)]
pub struct Proxy {
    members: Arc<dyn Members>,
    config: ProxyConfig,
}

impl Proxy {
    /// A store that asks `members`.
    pub fn new(members: Arc<dyn Members>, config: ProxyConfig) -> Self {
        Self { members, config }
    }

    /// The members that may have something in a range that matchers accept.
    fn relevant(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        partial_response: PartialResponse,
    ) -> Result<Vec<Member>, StoreError> {
        let mut members = self.members.members();
        if members.is_empty() && partial_response == PartialResponse::Abort {
            return Err(StoreError::new(
                ErrorKind::Unavailable,
                "no StoreAPI is available, and the answer must not be partial",
            ));
        }
        members.retain(|member| may_have(&member.store.info(), range, matchers));
        Ok(members)
    }

    fn policy(&self, partial_response: PartialResponse) -> Policy {
        Policy {
            silence_max: match self.config.silence_max {
                Duration::ZERO => Duration::MAX,
                max => max,
            },
            partial_response,
        }
    }

    /// What all relevant members answer to a question for strings.
    async fn strings(
        request: LabelsRequest,
        members: Vec<Member>,
        policy: Policy,
        ask: impl Fn(&Member, LabelsRequest) -> BoxFuture<'static, Result<Strings, StoreError>>,
    ) -> Result<Strings, StoreError> {
        let questions = Questions(policy);
        let asked = members
            .iter()
            .map(|member| questions.strings(member, ask(member, request.clone())));
        let mut all = Strings::default();
        for answer in join_all(asked).await {
            let answer = answer?;
            all.values.extend(answer.values);
            all.warnings.extend(answer.warnings);
        }
        all.values.sort_unstable();
        all.values.dedup();
        if request.limit > 0 {
            all.values.truncate(request.limit);
        }
        Ok(all)
    }
}

/// A member's answer, with what it cannot do itself done here.
fn ask(member: &Member, mut request: SeriesRequest) -> Frames {
    let info = member.store.info();
    let strip = match info.supports_without_replica_labels {
        true => Vec::new(),
        false => std::mem::take(&mut request.without_replica_labels),
    };
    // Labels that go away change what shard a series is in.
    let shard = match info.supports_sharding && strip.is_empty() {
        true => None,
        false => request.shard.take(),
    };
    if shard.is_some() || !strip.is_empty() {
        // As many may be too few once some fall away.
        request.limit = 0;
    }
    let mut frames = member.store.series(request);
    if !strip.is_empty() {
        frames = without_labels(frames, strip);
    }
    match shard {
        Some(shard) => in_shard(frames, shard),
        None => frames,
    }
}

impl Store for Proxy {
    fn is_local(&self) -> bool {
        self.members.members().iter().all(|m| m.store.is_local())
    }

    fn is_portable(&self) -> bool {
        self.members.members().iter().all(|m| m.store.is_portable())
    }

    fn info(&self) -> Info {
        members::joined(self.members.members().iter().map(|m| m.store.info()))
    }

    fn series(&self, request: SeriesRequest) -> BoxStream<'static, Result<Frame, StoreError>> {
        if request.matchers.is_empty() {
            return failed(StoreError::new(
                ErrorKind::Invalid,
                "no matchers specified (excluding selector labels)",
            ));
        }
        let partial_response = request.partial_response;
        let members = match self.relevant(request.range, &request.matchers, partial_response) {
            Ok(members) => members,
            Err(error) => return failed(error),
        };
        let questions = Questions(self.policy(partial_response));
        let is_alone = members.len() == 1;
        let answers = members.iter().map(|member| {
            // Several are asked at once; one is asked as its answer is read, and so is who has the
            // answer here and may make it on the reader's thread.
            let is_read_here = is_alone || (request.may_block && member.store.is_local());
            let asked = SeriesRequest {
                may_block: request.may_block && is_read_here,
                fan_out: None,
                ..request.clone()
            };
            let watch = request
                .fan_out
                .as_ref()
                .map(|to| to.watch(member.name.clone()));
            let frames = questions.series(member.name.clone(), ask(member, asked), watch);
            match is_read_here {
                true => frames,
                false => answers::ahead(frames),
            }
        });
        limited(merged(answers.collect()), request.limit)
    }

    fn label_names(
        &self,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        let partial_response = request.partial_response;
        let members = self.relevant(request.range, &request.matchers, partial_response);
        let policy = self.policy(partial_response);
        Box::pin(async move {
            let without = request.without_replica_labels.clone();
            let ask = |member: &Member, request| member.store.label_names(request);
            let mut names = Self::strings(request, members?, policy, ask).await?;
            // Not every store knows of replica labels.
            names.values.retain(|name| !without.contains(name));
            Ok(names)
        })
    }

    fn label_values(
        &self,
        name: String,
        request: LabelsRequest,
    ) -> BoxFuture<'static, Result<Strings, StoreError>> {
        if request.without_replica_labels.contains(&name) {
            return Box::pin(async { Ok(Strings::default()) });
        }
        let partial_response = request.partial_response;
        let members = self.relevant(request.range, &request.matchers, partial_response);
        let policy = self.policy(partial_response);
        Box::pin(async move {
            let ask = |member: &Member, request| member.store.label_values(name.clone(), request);
            Self::strings(request, members?, policy, ask).await
        })
    }
}

fn failed(error: StoreError) -> Frames {
    stream::iter([Err(error)]).boxed()
}

#[cfg(test)]
mod tests;
