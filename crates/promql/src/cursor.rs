//! Finding positions in ascending timestamps for ascending instants.

/// Remembers where the last search ended and how far it moved: samples are mostly regular, so the
/// next position is mostly as far again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    position: usize,
    stride: usize,
}

impl Cursor {
    /// The number of timestamps that are `<= t`. Instants of one cursor ascend; one that does not
    /// is searched for from the start.
    #[inline(always)]
    pub(crate) fn seek(&mut self, ts: &[i64], t: i64) -> usize {
        let at = self.position;
        if at > 0 && ts[at - 1] > t {
            self.position = ts.partition_point(|&x| x <= t);
            return self.position;
        }
        let guess = at + self.stride;
        let fits = guess <= ts.len()
            && (guess == at || ts[guess - 1] <= t)
            && (guess == ts.len() || ts[guess] > t);
        self.position = if fits { guess } else { gallop(ts, at, t) };
        self.stride = self.position - at;
        self.position
    }
}

/// The number of timestamps `<= t`, of which at least `from` are known to be.
#[inline(never)]
fn gallop(ts: &[i64], from: usize, t: i64) -> usize {
    let mut low = from;
    let mut width = 1;
    loop {
        let high = low + width;
        if high >= ts.len() {
            return low + ts[low..].partition_point(|&x| x <= t);
        }
        if ts[high - 1] > t {
            return low + ts[low..high].partition_point(|&x| x <= t);
        }
        low = high;
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_binary_search() {
        let ts: Vec<i64> = (0..500).map(|i| i * 15 + (i * i) % 7).collect();
        for step in [1, 7, 15, 60, 300, 10_000] {
            let mut cursor = Cursor::default();
            for t in (-50..8000).step_by(step) {
                assert_eq!(cursor.seek(&ts, t), ts.partition_point(|&x| x <= t), "{t}");
            }
            assert_eq!(cursor.seek(&ts, 100), ts.partition_point(|&x| x <= 100));
        }
    }
}
