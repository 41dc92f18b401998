//! [`Mapping::Lookout`](super::Mapping::Lookout): events as the SOFALookout gateway stores them, for
//! those who query by its names.
//!
//! Labels are the members of `metricset`, less `rtt`, and of `beat`, by their own names; where both
//! have one, it is that of `beat`. Each number within any other object is a sample. Texts and truth
//! values elsewhere are nothing, so what only they tell apart is one series: that is the gateway's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::event::{Context, EventError, Leaves, Rank, Use, add_samples};
use crate::protocols::lookout::intake::Step;
use crate::protocols::lookout::limits;
use crate::protocols::names::{lookout_metric, lookout_tag_value, tag_key};
use crate::protocols::points::{Points, Reason};

/// What a leaf is for.
pub(super) fn use_of(path: &str) -> Use {
    match path.split_once('.') {
        None if path == "@timestamp" => Use::Time,
        None | Some(("@timestamp" | "type", _)) | Some(("metricset", "rtt")) => Use::None,
        Some(("metricset", _)) => Use::Label(Rank::Subject),
        Some(("beat", _)) => Use::Label(Rank::Origin),
        Some(_) => Use::Number,
    }
}

/// Adds the points of an event.
pub(super) fn add(
    event: &Leaves<'_>,
    context: &Context<'_>,
    points: &mut Points,
) -> Result<usize, EventError> {
    let t_ms = Step::DEFAULT.align(event.time().unwrap_or(context.now_ms));
    let mut tags: BTreeMap<Cow<'_, str>, (Rank, Cow<'_, str>)> = BTreeMap::new();
    for (rank, path, text) in event.texts() {
        let key = path.split_once('.').map_or(path, |(_, key)| key);
        let value = limits::cut_value(lookout_tag_value(text));
        let known = tags
            .entry(tag_key(key))
            .or_insert((rank, Cow::Borrowed("")));
        if rank <= known.0 {
            *known = (rank, value);
        }
    }
    for (key, value) in context.extra {
        let value = (Rank::Container, limits::cut_value(lookout_tag_value(value)));
        tags.entry(tag_key(key)).or_insert(value);
    }
    let expired = limits::is_expired(t_ms, context.now_ms).then_some(Reason::Expired);
    let wrong = expired.or_else(|| limits::check_keys(tags.keys().map(|key| &**key)));
    let mut names = Vec::with_capacity(event.numbers().len());
    for (path, value) in event.numbers() {
        let name = lookout_metric(path);
        let wrong = wrong.or(limits::is_name_too_long(&name).then_some(Reason::NameTooLong));
        match wrong {
            None => names.push((name, value)),
            Some(reason) => {
                points.refuse(reason, || format!("{name} {value}"));
            }
        }
    }
    let labels: Vec<_> = (tags.iter())
        .map(|(key, (_, value))| (&**key, &**value))
        .collect();
    add_samples(names.into_iter(), &labels, t_ms, context, points)
}
