//! Has selectors that ask for the same series read them together.
//!
//! A ratio such as `errors / requests` often selects some series twice: once all of them, and once
//! those with one label more. The narrower selector then takes its series from the wider one's, and
//! the source is asked once. They must want the same samples for the same purpose: a source may answer
//! `rate` and `max_over_time` from different data.

use crate::plan::walk::Rewrite;
use crate::plan::{Plan, Selector, Share};

pub(super) struct ShareSelectors;

impl ShareSelectors {
    pub(super) fn apply(plan: &mut Plan) {
        let mut found = Collect(Vec::new());
        plan.rewrite(&mut found);
        let Collect(mut selectors) = found;
        // The widest first, so that each narrower one finds it.
        let mut order: Vec<usize> = (0..selectors.len()).collect();
        order.sort_by_key(|&i| selectors[i].matchers.len());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for i in order {
            let is_wider = |group: &&mut Vec<usize>| covers(&selectors[group[0]], &selectors[i]);
            match groups.iter_mut().find(is_wider) {
                Some(group) => group.push(i),
                None => groups.push(vec![i]),
            }
        }
        groups.retain(|group| group.len() > 1);
        for (number, group) in groups.iter().enumerate() {
            share(&mut selectors, group, number);
        }
        plan.rewrite(&mut Replace(selectors.into_iter()));
    }
}

/// True when every series that `narrow` selects, `wide` does too, with all that `narrow` needs of it.
fn covers(wide: &Selector, narrow: &Selector) -> bool {
    let (a, b) = (&wide.hints, &narrow.hints);
    wide.range == narrow.range
        && !wide.range.is_empty()
        && a.func == b.func
        && (a.step_ms, a.range_ms) == (b.step_ms, b.range_ms)
        && (a.histogram_stats, a.start_timestamps) == (b.histogram_stats, b.start_timestamps)
        && wide.matchers.iter().all(|m| narrow.matchers.contains(m))
}

/// Makes the selectors of a group read what its first one selects.
fn share(selectors: &mut [Selector], group: &[usize], number: usize) {
    let wide = selectors[group[0]].clone();
    let mut filters: Vec<_> = (group.iter())
        .map(|&i| {
            let mut filter = selectors[i].matchers.clone();
            filter.retain(|m| !wide.matchers.contains(m));
            filter
        })
        .collect();
    // What one of them looks at all have: the labels of its own projection and of its filter.
    let mut projection = Some(Vec::new());
    for (&i, filter) in group.iter().zip(&filters) {
        match (&mut projection, &selectors[i].hints.projection) {
            (Some(all), Some(names)) => {
                all.extend(names.iter().cloned());
                all.extend(filter.iter().map(|m| m.name().to_owned()));
            }
            (all, _) => *all = None,
        }
    }
    if let Some(names) = &mut projection {
        names.sort_unstable();
        names.dedup();
    }
    for (&i, filter) in group.iter().zip(&mut filters) {
        let selector = &mut selectors[i];
        selector.matchers.clone_from(&wide.matchers);
        selector.hints.projection.clone_from(&projection);
        selector.share = Some(Box::new(Share {
            group: number,
            readers: group.len(),
            filter: std::mem::take(filter),
        }));
    }
}

/// Copies all selectors, in the order of the walk.
struct Collect(Vec<Selector>);

impl Rewrite for Collect {
    fn selector(&mut self, selector: &mut Selector) {
        self.0.push(selector.clone());
    }
}

/// Puts them back.
struct Replace(std::vec::IntoIter<Selector>);

impl Rewrite for Replace {
    fn selector(&mut self, selector: &mut Selector) {
        if let Some(replacement) = self.0.next() {
            *selector = replacement;
        }
    }
}
