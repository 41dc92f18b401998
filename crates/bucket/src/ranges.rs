//! Many ranges of one object by few requests.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::{Bucket, Version};
use crate::error::Result;
use crate::metrics::Operation;

/// How ranges are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPlan {
    /// Ranges that are at most this many bytes apart are read together.
    pub gap_max: u64,
    /// A request does not grow beyond this many bytes by joining ranges.
    pub request_bytes_max: u64,
    /// Requests under way at once.
    pub parallel: usize,
    /// How slow requests are treated.
    pub hedge: Hedge,
}

/// Whether a request that is slow is sent once more; the first answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// Never.
    Off,
    /// After this time.
    After(Duration),
    /// After the time that 95 of 100 reads took so far.
    Slow,
}

impl Default for ReadPlan {
    fn default() -> Self {
        Self {
            gap_max: 512 << 10,
            request_bytes_max: 16 << 20,
            parallel: 16,
            hedge: Hedge::Slow,
        }
    }
}

impl Bucket {
    /// Reads `ranges` of an object, or of one content of it, in any order and overlapping or not, and returns them in that
    /// order. What is returned are slices of the requests' bytes.
    ///
    /// # Errors
    /// As [`Bucket::get_range`], for the first request that fails; the others are cancelled.
    pub async fn get_ranges<'a>(
        &self,
        of: impl Into<Version<'a>>,
        ranges: &[Range<u64>],
        plan: &ReadPlan,
    ) -> Result<Vec<Bytes>> {
        let of = of.into();
        let requests = coalesce(ranges, plan);
        let hedge_after = match plan.hedge {
            Hedge::Off => None,
            Hedge::After(time) => Some(time),
            Hedge::Slow => self.metrics().quantile(Operation::GetRange, 0.95),
        };
        // Collected, so that callers' futures can be seen to be `Send`.
        let read: Vec<_> = requests
            .iter()
            .map(|range| self.get_range_hedged(of, range.clone(), hedge_after))
            .collect();
        let bodies: Vec<Bytes> = stream::iter(read)
            .buffered(plan.parallel.max(1))
            .try_collect()
            .await?;
        let slice = |range: &Range<u64>| {
            // A request is at most one object long, so that offsets in its body fit.
            let at = requests.partition_point(|r| r.start <= range.start) - 1;
            let start = (range.start - requests[at].start) as usize;
            bodies[at].slice(start..start + (range.end - range.start) as usize)
        };
        let bytes = ranges.iter().map(|range| match range.is_empty() {
            true => Bytes::new(),
            false => slice(range),
        });
        Ok(bytes.collect())
    }

    /// Reads a range, and once more when that is slow.
    async fn get_range_hedged(
        &self,
        of: Version<'_>,
        range: Range<u64>,
        hedge_after: Option<Duration>,
    ) -> Result<Bytes> {
        let first = Box::pin(self.get_range(of, range.clone()));
        let Some(time) = hedge_after else {
            return first.await;
        };
        let first = match select(first, Box::pin(tokio::time::sleep(time))).await {
            Either::Left((done, _)) => return done,
            Either::Right(((), first)) => first,
        };
        self.metrics().hedged();
        let second = Box::pin(self.get_range(of, range));
        match select(first, second).await {
            Either::Left((Ok(bytes), _)) => Ok(bytes),
            Either::Right((Ok(bytes), _)) => {
                self.metrics().hedge_won();
                Ok(bytes)
            }
            // One failed: the other may still answer.
            Either::Left((Err(_), second)) => second.await,
            Either::Right((Err(_), first)) => first.await,
        }
    }
}

/// The requests that cover all of `ranges`, in ascending order and not overlapping, each range
/// within one of them.
fn coalesce(ranges: &[Range<u64>], plan: &ReadPlan) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_unstable_by_key(|r| (r.start, r.end));
    let mut requests: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match requests.last_mut() {
            Some(last) if joins(last, &range, plan) => last.end = last.end.max(range.end),
            _ => requests.push(range),
        }
    }
    requests
}

/// Whether `next`, which does not start before `last`, is read together with it. Those that overlap
/// always are, so that each byte is read once.
fn joins(last: &Range<u64>, next: &Range<u64>, plan: &ReadPlan) -> bool {
    let near = next.start <= last.end.saturating_add(plan.gap_max);
    let small = next.end - last.start <= plan.request_bytes_max;
    next.start < last.end || (near && small)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAN: ReadPlan = ReadPlan {
        gap_max: 10,
        request_bytes_max: 100,
        parallel: 3,
        hedge: Hedge::Off,
    };

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]
    fn near_ranges_are_joined_up_to_the_bound() {
        for (ranges, requests) in [
            (vec![], vec![]),
            (vec![5..5], vec![]),
            (vec![0..10, 20..30], vec![0..30]),
            (vec![0..10, 21..30], vec![0..10, 21..30]),
            (vec![20..30, 0..25], vec![0..30]),
            (vec![0..95, 100..110], vec![0..95, 100..110]),
            (vec![0..95, 90..300], vec![0..300]),
        ] {
            assert_eq!(coalesce(&ranges, &PLAN), requests, "{ranges:?}");
        }
    }

    proptest! {
        #[test]
        fn every_range_comes_back(
            ranges in proptest::collection::vec((0u64..900, 0u64..100), 0..20)
        ) {
            let object: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
            let ranges: Vec<_> = ranges.into_iter().map(|(s, l)| s..s + l).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(async {
                let bucket = Bucket::in_memory();
                bucket.put("k", object.clone()).await.unwrap();
                bucket.get_ranges("k", &ranges, &PLAN).await.unwrap()
            });
            prop_assert_eq!(read.len(), ranges.len());
            for (bytes, range) in read.iter().zip(&ranges) {
                prop_assert_eq!(&bytes[..], &object[range.start as usize..range.end as usize]);
            }
        }
    }
}
