//! All samples of all replicas, one for each time.

use std::sync::Arc;

use model::{Sample, Value};
use promql::columns::Samples;
use tsdb::merge::SampleMerge;

/// Appends every sample of every replica, of two at one time one, by the rules of Prometheus.
pub fn chain(replicas: &[Samples], out: &mut Samples) {
    let places: Vec<_> = replicas.iter().map(Walk::new).collect();
    for sample in SampleMerge::new(places) {
        let Ok(Sample { t, value }) = sample;
        match value {
            Value::Float(v) => out.push_float(t, v, 0),
            Value::FloatHistogram(h) => out.push_hist(t, Arc::new(*h), 0),
            Value::Histogram(h) => out.push_hist(t, Arc::new(h.to_float()), 0),
        }
    }
}

/// The samples of both kinds in order of time.
struct Walk<'a> {
    samples: &'a Samples,
    floats: usize,
    hists: usize,
}

impl<'a> Walk<'a> {
    const fn new(samples: &'a Samples) -> Self {
        Self {
            samples,
            floats: 0,
            hists: 0,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Sample, std::convert::Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        let float = self.samples.ts.get(self.floats);
        let hist = self.samples.hist_ts.get(self.hists);
        let (t, value) = match (float, hist) {
            (Some(&t), hist) if hist.is_none_or(|h| t < *h) => {
                self.floats += 1;
                (t, Value::Float(self.samples.values[self.floats - 1]))
            }
            (_, Some(&t)) => {
                self.hists += 1;
                let h = &self.samples.hists[self.hists - 1];
                (t, Value::FloatHistogram(Box::new((**h).clone())))
            }
            _ => return None,
        };
        Some(Ok(Sample { t, value }))
    }
}
