//! What is remembered of a target from one scrape to the next: its lines, its series and which of
//! them are live, and what its families mean.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use model::{Labels, Metadata};
use parking_lot::Mutex;
use tsdb::batch::SeriesRef;

use super::lines::{Lines, What};
use super::round::classic::Place;

/// How many rounds the metadata of a family outlives its lines.
const METADATA_ROUNDS: u64 = 10;
/// Scrapes that fail may leave lines behind; beyond twice what was good and this many, all that the
/// last one did not meet are forgotten.
const LINES_SLACK: usize = 1000;

/// One series of a target.
#[derive(Debug)]
pub(super) struct Series {
    /// As it is stored: with the target's labels, relabelled.
    pub(super) labels: Labels,
    /// What the store calls it.
    pub(super) known: Option<SeriesRef>,
    /// It has a sample since it was last marked stale, and is marked when it vanishes.
    live: bool,
    /// It was so before the last pass.
    was_live: bool,
    /// The round in which it last had a sample that keeps it live.
    pub(super) tracked: u64,
    /// The round in which it last had any sample.
    pub(super) seen: u64,
    /// Tells the metric that it belongs to from others of its target, where that matters.
    pub(super) metric: u64,
    /// The last exemplar without a time of its own.
    pub(super) exemplar: Option<Box<(f64, Labels)>>,
}

/// A sample of a classic histogram that becomes a native one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Tells the histogram from others.
    pub(super) histogram: u64,
    /// What it says of the histogram.
    pub(super) place: Place,
    /// What becomes of the histogram.
    pub(super) native: What,
    /// What becomes of the sample itself, where classic series are kept beside native ones.
    pub(super) classic: Option<What>,
}

/// A family of which metadata was seen.
#[derive(Debug)]
struct Family {
    name: Box<str>,
    metadata: Metadata,
    met: u64,
}

/// What the families of a target mean. Numbers stay valid while a line of the family is remembered.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: Vec<Option<Family>>,
    by_name: HashMap<Box<str>, u32, RandomState>,
}

impl Families {
    /// The number of the family `name`, which is added if it is not there.
    pub(super) fn number(&mut self, name: &str, round: u64) -> u32 {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let family = Some(Family {
            name: name.into(),
            metadata: Metadata::default(),
            met: round,
        });
        let free = self.families.iter().position(Option::is_none);
        let at = free.unwrap_or(self.families.len());
        match self.families.get_mut(at) {
            Some(slot) => *slot = family,
            None => self.families.push(family),
        }
        let number = u32::try_from(at).expect("bodies hold fewer families");
        self.by_name.insert(name.into(), number);
        number
    }

    /// Takes the family as met in `round`, and gives its metadata.
    pub(super) fn meet(&mut self, number: u32, round: u64) -> Option<&mut Metadata> {
        let family = self.families.get_mut(number as usize)?.as_mut()?;
        family.met = round;
        Some(&mut family.metadata)
    }

    fn forget(&mut self, round: u64) {
        for slot in &mut self.families {
            let gone = |family: &mut Family| round - family.met > METADATA_ROUNDS;
            if let Some(family) = slot.take_if(gone) {
                self.by_name.remove(&family.name);
            }
        }
    }

    /// How many families there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Every family with its metadata.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        let families = self.families.iter().flatten();
        families.map(|family| (&*family.name, &family.metadata))
    }

    /// The name of the family of this number.
    pub(super) fn name(&self, number: u32) -> Option<&str> {
        let family = self.families.get(number as usize)?.as_ref()?;
        Some(&family.name)
    }

    /// The metadata of the family `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Metadata> {
        let at = self.by_name.get(name)?;
        let family = self.families.get(*at as usize)?.as_ref()?;
        Some(&family.metadata)
    }
}

/// Parts of classic histograms, each of one line.
#[derive(Debug, Default)]
struct Parts {
    parts: Vec<Part>,
    free: Vec<u32>,
}

impl Parts {
    fn add(&mut self, part: Part) -> u32 {
        if let Some(at) = self.free.pop() {
            self.parts[at as usize] = part;
            return at;
        }
        self.parts.push(part);
        u32::try_from(self.parts.len() - 1).expect("bodies hold fewer lines")
    }
}

/// The memory of one target.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) lines: Lines,
    parts: Parts,
    series: Vec<Option<Series>>,
    free: Vec<u32>,
    by_labels: HashTable<u32>,
    hasher: RandomState,
    pub(super) families: Arc<Mutex<Families>>,
    /// Numbers each pass over an exposition, also those that fail.
    pub(super) round: u64,
    lines_after_success: usize,
    /// What the store calls the series about the scrapes.
    pub(super) report: [Option<SeriesRef>; super::report::SERIES],
}

impl Cache {
    /// Begins a pass.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.lines.restart(self.round);
    }

    /// The part of a classic histogram that a line says.
    pub(super) fn part(&self, number: u32) -> Part {
        self.parts.parts[number as usize]
    }

    /// What tells the histogram of these labels from others.
    pub(super) fn histogram(&self, labels: &Labels) -> u64 {
        self.hasher.hash_one(labels.as_encoded())
    }

    /// What tells the metric of these labels, its name and bounds left out, from others.
    pub(super) fn metric(&self, family: Option<u32>, labels: &Labels) -> u64 {
        self.hasher.hash_one((family, labels.as_encoded()))
    }

    /// Adds a part, of a line that is not known yet, and gives its number.
    pub(super) fn add_part(
        &mut self,
        place: Place,
        histogram: &Labels,
        (native, classic): (What, Option<What>),
    ) -> u32 {
        let histogram = self.histogram(histogram);
        self.parts.add(Part {
            histogram,
            place,
            native,
            classic,
        })
    }

    pub(super) fn series(&mut self, number: u32) -> &mut Series {
        let slot = self.series[number as usize].as_mut();
        slot.expect("lines name series that are there")
    }

    /// Sets what the store calls a series, if it is still remembered.
    pub(super) fn set_known(&mut self, number: u32, known: Option<SeriesRef>) {
        if let Some(series) = self
            .series
            .get_mut(number as usize)
            .and_then(Option::as_mut)
        {
            series.known = known;
        }
    }

    /// The number of the series with these labels, which is added if it is not there.
    pub(super) fn number(&mut self, labels: Labels) -> u32 {
        let Self {
            series,
            by_labels,
            hasher,
            free,
            ..
        } = self;
        let hash = hasher.hash_one(labels.as_encoded());
        let of = |at: &u32| series[*at as usize].as_ref().map(|s| s.labels.as_encoded());
        let equals = |at: &u32| of(at) == Some(labels.as_encoded());
        if let Some(at) = by_labels.find(hash, equals) {
            return *at;
        }
        let at = free.pop().unwrap_or_else(|| {
            series.push(None);
            u32::try_from(series.len() - 1).expect("bodies hold fewer series")
        });
        series[at as usize] = Some(Series {
            labels,
            known: None,
            live: false,
            was_live: false,
            tracked: 0,
            seen: self.round,
            metric: 0,
            exemplar: None,
        });
        let of = |at: &u32| series[*at as usize].as_ref().map(|s| s.labels.as_encoded());
        let rehash = |at: &u32| hasher.hash_one(of(at).unwrap_or_default());
        by_labels.insert_unique(hash, at, rehash);
        at
    }

    /// Forgets which line belongs to which series, as the rules that say so changed. Which series are
    /// live stays known.
    pub(super) fn forget_lines(&mut self) {
        self.lines = Lines::default();
        self.parts = Parts::default();
    }

    /// The labels of all series that are remembered.
    pub(super) fn labels(&self) -> Vec<Labels> {
        let series = self.series.iter().flatten();
        series.map(|series| series.labels.clone()).collect()
    }

    /// Lets others mark the series with such labels when they vanish.
    pub(super) fn leave(&mut self, is_left: impl Fn(&Labels) -> bool) {
        for series in self.series.iter_mut().flatten() {
            series.live &= !is_left(&series.labels);
        }
    }

    /// Ends a pass that succeeded and whose samples are to be kept: gives every series that was live
    /// and is no longer to `stale`, and forgets what was not met.
    pub(super) fn succeed(&mut self, mut stale: impl FnMut(u32, &Series)) {
        let round = self.round;
        for (at, series) in self.series.iter_mut().enumerate() {
            let Some(series) = series else { continue };
            let live = series.tracked == round;
            series.was_live = series.live;
            if series.live && !live {
                stale(at as u32, series);
            }
            series.live = live;
        }
        self.forget();
        self.lines_after_success = self.lines.len();
    }

    /// Takes a series as one that had no sample in the last pass, which succeeded; true when that
    /// ends it.
    pub(super) fn lose(&mut self, number: u32) -> bool {
        let series = self.series(number);
        let ends = series.live && series.was_live;
        series.live = false;
        ends
    }

    /// Ends a pass of which nothing is kept: every series that was live is given to `stale`.
    pub(super) fn fail(&mut self, mut stale: impl FnMut(u32, &Series)) {
        for (at, series) in self.series.iter_mut().enumerate() {
            if let Some(series) = series.as_mut().filter(|series| series.live) {
                series.live = false;
                stale(at as u32, series);
            }
        }
        if self.lines.len() > 2 * self.lines_after_success + LINES_SLACK {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let round = self.round;
        let free = &mut self.parts.free;
        self.lines.forget_unmet(|what| {
            if let What::Part(part) = what {
                free.push(part);
            }
        });
        let Self {
            series,
            by_labels,
            free,
            ..
        } = self;
        by_labels.retain(|at| {
            let slot = &mut series[*at as usize];
            let keep = slot.as_ref().is_some_and(|s| s.seen == round);
            if !keep {
                *slot = None;
                free.push(*at);
            }
            keep
        });
        self.families.lock().forget(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    /// One successful pass over these series; those that became stale.
    fn pass(cache: &mut Cache, names: &[&str]) -> Vec<String> {
        cache.begin();
        let round = cache.round;
        for name in names {
            let number = cache.number(labels(name));
            let series = cache.series(number);
            (series.tracked, series.seen) = (round, round);
        }
        let mut stale = Vec::new();
        cache.succeed(|_, s| stale.push(s.labels.metric_name().to_owned()));
        stale
    }

    #[test]
    fn series_are_live_until_they_vanish() {
        let mut cache = Cache::default();
        assert!(pass(&mut cache, &["a", "b"]).is_empty());
        assert_eq!(pass(&mut cache, &["b"]), ["a"]);
        assert!(pass(&mut cache, &["b", "c"]).is_empty());
        let mut stale = Vec::new();
        cache.begin();
        cache.fail(|_, s| stale.push(s.labels.metric_name().to_owned()));
        stale.sort();
        assert_eq!(stale, ["b", "c"]);
        cache.begin();
        cache.fail(|_, s| panic!("{s:?} was marked already"));
        assert!(pass(&mut cache, &[]).is_empty());
        assert_eq!(
            (cache.by_labels.len(), cache.free.len()),
            (0, cache.series.len())
        );
    }

    #[test]
    fn metadata_outlives_its_lines() {
        let mut cache = Cache::default();
        pass(&mut cache, &[]);
        let round = cache.round;
        let number = cache.families.lock().number("f", round);
        cache.families.lock().meet(number, round).unwrap().help = "x".to_owned();
        for _ in 0..METADATA_ROUNDS {
            pass(&mut cache, &[]);
            assert!(cache.families.lock().get("f").is_some());
        }
        pass(&mut cache, &[]);
        assert!(cache.families.lock().get("f").is_none());
    }
}
