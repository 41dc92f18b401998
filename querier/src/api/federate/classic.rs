//! Histograms with listed bounds as those of the classic kind.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

/// Upper bounds with the observations up to each, the last of which is infinity; nothing for a
/// histogram whose bounds are not listed.
pub(super) fn buckets(histogram: &FloatHistogram) -> Option<Vec<(f64, f64)>> {
    if histogram.schema != CUSTOM_BUCKETS_SCHEMA {
        return None;
    }
    let bounds = histogram.custom_values.iter().copied();
    let mut buckets: Vec<(f64, f64)> = bounds.chain([f64::INFINITY]).map(|b| (b, 0.0)).collect();
    let mut counts = histogram.positive_buckets.iter();
    let mut at: usize = 0;
    for span in &histogram.positive_spans {
        at = at.saturating_add_signed(span.offset as isize);
        for count in counts.by_ref().take(span.length as usize) {
            if let Some((_, below)) = buckets.get_mut(at) {
                *below += count;
            }
            at += 1;
        }
    }
    let mut below = 0.0;
    for (_, count) in &mut buckets {
        below += *count;
        *count = below;
    }
    Some(buckets)
}

#[cfg(test)]
pub(super) mod tests {
    use model::histogram::Span;

    use super::*;

    /// Two observations up to 1, none from there to 5, three beyond.
    pub(in super::super) fn listed() -> FloatHistogram {
        FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 5.0,
            sum: 30.5,
            positive_spans: vec![
                Span {
                    offset: 0,
                    length: 1,
                },
                Span {
                    offset: 1,
                    length: 1,
                },
            ],
            positive_buckets: vec![2.0, 3.0],
            custom_values: vec![1.0, 5.0],
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn buckets_add_up_over_gaps() {
        let found = buckets(&listed()).unwrap();
        assert_eq!(found, [(1.0, 2.0), (5.0, 2.0), (f64::INFINITY, 5.0)]);
        assert!(buckets(&FloatHistogram::default()).is_none());
    }
}
