//! `changes` and `resets`: how often a sample differs from the one before.
//!
//! Whether it does is found out once per sample; a step takes the difference of two running counts.

use crate::ast::RangeExtension;
use crate::columns::{Column, Samples};

use super::Windowed;
use super::start_time::Stamp;

pub(super) fn changes(input: &Windowed<'_>, out: &mut Column) {
    count(input, out, |s, before, now| match (before, now) {
        (At::Float(a), At::Float(b)) => {
            let (a, b) = (s.values[a], s.values[b]);
            a != b && !(a.is_nan() && b.is_nan())
        }
        (At::Hist(a), At::Hist(b)) => !s.hists[b].equals(&s.hists[a]),
        _ => true,
    });
}

pub(super) fn resets(input: &Windowed<'_>, out: &mut Column) {
    count(input, out, |s, before, now| match (before, now) {
        (At::Float(a), At::Float(b)) => {
            s.values[b] < s.values[a] || Stamp::float(s, b).is_reset_after(Stamp::float(s, a))
        }
        (At::Hist(a), At::Hist(b)) => {
            s.hists[b].detect_reset(&s.hists[a])
                || Stamp::hist(s, b).is_reset_after(Stamp::hist(s, a))
        }
        _ => true,
    });
}

/// A sample, by kind and index.
#[derive(Debug, Clone, Copy)]
enum At {
    Float(usize),
    Hist(usize),
}

fn count(input: &Windowed<'_>, out: &mut Column, differs: impl Fn(&Samples, At, At) -> bool) {
    let samples = input.samples;
    let order = in_order(samples);
    // running[k]: how many of the samples up to k differ from the one before.
    let mut running = Vec::with_capacity(order.len());
    let mut total = 0u32;
    for (k, &now) in order.iter().enumerate() {
        if k > 0 && differs(samples, order[k - 1], now) {
            total += 1;
        }
        running.push(total);
    }
    let anchored = input.windows.extension == Some(RangeExtension::Anchored);
    for i in 0..input.windows.count() {
        let (f, h) = (input.windows.floats(i), input.windows.hists(i));
        let (mut first, end) = (f.start + h.start, f.end + h.end);
        if first == end {
            continue;
        }
        if anchored {
            // The window starts at the last sample before it, if the lookback reaches one.
            let start = input.windows.start(i);
            let time = |at: &At| match *at {
                At::Float(k) => samples.ts[k],
                At::Hist(k) => samples.hist_ts[k],
            };
            let inside = first + order[first..end].partition_point(|at| time(at) <= start);
            if inside == end {
                continue;
            }
            first = first.max(inside.saturating_sub(1));
        }
        out.set_float(i, f64::from(running[end - 1] - running[first]));
    }
}

/// All samples in order of time.
fn in_order(samples: &Samples) -> Vec<At> {
    let mut order = Vec::with_capacity(samples.len());
    let mut h = 0;
    for (f, &t) in samples.ts.iter().enumerate() {
        while h < samples.hist_ts.len() && samples.hist_ts[h] <= t {
            order.push(At::Hist(h));
            h += 1;
        }
        order.push(At::Float(f));
    }
    order.extend((h..samples.hist_ts.len()).map(At::Hist));
    order
}
