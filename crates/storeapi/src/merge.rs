//! Sorted streams of series, merged to one.
//!
//! [`merged`] holds one frame of each input and nothing else: it asks an input for more when that
//! input's series are used up, and not before its own reader asks. What must be known of all
//! inputs, that their next labels are not less, is known once each has given a frame; hence
//! warnings, which come first, stay first.
//!
//! Series with the same labels become one. Chunks that are the same byte for byte, as replicas of a
//! block give them, become one; others stay side by side, in order of (`min_time`, `max_time`), and
//! whoever decodes them has to choose.

mod joiner;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use model::Labels;

use crate::store::{Frame, Series, Shard, StoreError};
use joiner::Joiner;

/// An answer to a request for series.
pub type Frames = BoxStream<'static, Result<Frame, StoreError>>;

/// Merges answers that are in order of labels each. The first error ends the result.
pub fn merged(mut inputs: Vec<Frames>) -> Frames {
    match inputs.len() {
        0 => stream::empty().boxed(),
        1 => inputs.swap_remove(0),
        _ => Merge::new(inputs).boxed(),
    }
}

/// Removes labels from an answer in order of labels, and puts it in order again. Takes in the whole
/// answer before the first series comes out: that order is known only then.
pub fn without_labels(frames: Frames, mut names: Vec<String>) -> Frames {
    names.sort_unstable();
    let collecting = async move {
        let mut frames = frames;
        let mut result = Vec::new();
        let mut all = Vec::new();
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(Frame::Series(series)) => all.extend(series),
                Ok(warning @ Frame::Warning(_)) => result.push(Ok(warning)),
                Err(error) => return stream::iter(vec![Err(error)]),
            }
        }
        for series in &mut all {
            series.labels = series.labels.without(&names);
        }
        // Chunks of equal labels are put in order by the joiner.
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let mut joiner = Joiner::default();
        for series in all {
            joiner.push(series);
            if joiner.is_full() {
                result.extend(joiner.take().map(Ok));
            }
        }
        joiner.finish();
        result.extend(joiner.take().map(Ok));
        stream::iter(result)
    };
    stream::once(collecting).flatten().boxed()
}

/// Keeps the series of a shard.
pub fn in_shard(frames: Frames, shard: Shard) -> Frames {
    let keep = move |frame| match frame {
        Ok(Frame::Series(mut series)) => {
            series.retain(|series| shard.contains(&series.labels));
            (!series.is_empty()).then_some(Ok(Frame::Series(series)))
        }
        other => Some(other),
    };
    frames
        .filter_map(move |frame| std::future::ready(keep(frame)))
        .boxed()
}

/// Keeps the first `limit` series; 0 for all. Parts of one series that come in a row are one.
pub fn limited(frames: Frames, limit: usize) -> Frames {
    if limit == 0 {
        return frames;
    }
    let state = (frames, limit, None::<Labels>);
    stream::unfold(state, async |(mut frames, mut left, mut last)| {
        let mut frame = frames.next().await?;
        if let Ok(Frame::Series(series)) = &mut frame {
            let mut kept = 0;
            for series in series.iter() {
                if last.as_ref() != Some(&series.labels) {
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    last = Some(series.labels.clone());
                }
                kept += 1;
            }
            if kept == 0 {
                return None;
            }
            series.truncate(kept);
        }
        Some((frame, (frames, left, last)))
    })
    .boxed()
}

/// An input and what it gave last.
struct Input {
    frames: Frames,
    /// The next series; there unless the input is starved or ended.
    head: Option<Series>,
    /// Those after it.
    batch: std::vec::IntoIter<Series>,
}

struct Merge {
    inputs: Vec<Input>,
    /// Inputs with a series, the one with the least labels last.
    order: Vec<usize>,
    /// Inputs that must give a frame before anything is known of them.
    starved: Vec<usize>,
    warnings: VecDeque<String>,
    joiner: Joiner,
    is_done: bool,
}

impl Merge {
    fn new(inputs: Vec<Frames>) -> Self {
        let input = |frames| Input {
            frames,
            head: None,
            batch: Vec::new().into_iter(),
        };
        Self {
            starved: (0..inputs.len()).collect(),
            order: Vec::with_capacity(inputs.len()),
            inputs: inputs.into_iter().map(input).collect(),
            warnings: VecDeque::new(),
            joiner: Joiner::default(),
            is_done: false,
        }
    }

    /// Asks all starved inputs; ready once none is left.
    fn feed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let mut waiting = 0;
        for at in 0..self.starved.len() {
            let input = self.starved[at];
            loop {
                match self.inputs[input].frames.as_mut().poll_next(cx) {
                    Poll::Pending => {
                        self.starved[waiting] = input;
                        waiting += 1;
                        break;
                    }
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Some(Ok(Frame::Warning(text)))) => self.warnings.push_back(text),
                    Poll::Ready(Some(Ok(Frame::Series(series)))) => {
                        self.inputs[input].batch = series.into_iter();
                        if self.advance(input) {
                            break;
                        }
                    }
                }
            }
        }
        self.starved.truncate(waiting);
        if waiting == 0 {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Makes the next series of an input's frame its head; false when there is none.
    fn advance(&mut self, input: usize) -> bool {
        self.inputs[input].head = self.inputs[input].batch.next();
        if self.inputs[input].head.is_none() {
            return false;
        }
        // Series of one producer tend to lie together, so it is often the least again.
        let is_least = self
            .order
            .last()
            .is_none_or(|least| self.compare(input, *least) != Ordering::Greater);
        let at = if is_least {
            self.order.len()
        } else {
            self.order
                .partition_point(|other| self.compare(*other, input) == Ordering::Greater)
        };
        self.order.insert(at, input);
        true
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let labels = |input: usize| self.inputs[input].head.as_ref().map(|s| &s.labels);
        labels(a).cmp(&labels(b))
    }

    /// Takes over the least series; false when there is none.
    fn step(&mut self) -> bool {
        let Some(least) = self.order.pop() else {
            return false;
        };
        if let Some(series) = self.inputs[least].head.take() {
            self.joiner.push(series);
        }
        if !self.advance(least) {
            self.starved.push(least);
        }
        true
    }
}

impl Stream for Merge {
    type Item = Result<Frame, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.is_done {
            let fed = if this.starved.is_empty() {
                Poll::Ready(Ok(()))
            } else {
                this.feed(cx)
            };
            if let Some(text) = this.warnings.pop_front() {
                return Poll::Ready(Some(Ok(Frame::Warning(text))));
            }
            if fed.is_pending()
                && let Some(frame) = this.joiner.take()
            {
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Err(error) = ready!(fed) {
                this.is_done = true;
                this.inputs.clear();
                return Poll::Ready(Some(Err(error)));
            }
            while this.starved.is_empty() && !this.joiner.is_full() {
                if !this.step() {
                    this.joiner.finish();
                    this.is_done = true;
                    break;
                }
            }
            if this.joiner.is_full() {
                break;
            }
        }
        Poll::Ready(this.joiner.take().map(Ok))
    }
}

#[cfg(test)]
mod tests;
