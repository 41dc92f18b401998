//! Which series belong to a shard.

use model::Labels;
use twox_hash::XxHash64;

use crate::store::Shard;

/// Between and after names and values; no byte of UTF-8.
const SEPARATOR: u8 = 0xff;

impl Shard {
    /// Whether the series with these labels is in the shard: xxhash64 over `name 0xff value 0xff` of
    /// the labels that count, modulo the number of shards, as Thanos computes it.
    pub fn contains(&self, labels: &Labels) -> bool {
        if self.total < 2 {
            return true;
        }
        let mut bytes = Vec::with_capacity(labels.heap_bytes());
        for (name, value) in labels {
            if self.labels.iter().any(|l| l == name) == self.by {
                bytes.extend_from_slice(name.as_bytes());
                bytes.push(SEPARATOR);
                bytes.extend_from_slice(value.as_bytes());
                bytes.push(SEPARATOR);
            }
        }
        XxHash64::oneshot(0, &bytes) % self.total == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(index: u64, by: bool, labels: &[&str]) -> Shard {
        Shard {
            index,
            total: 3,
            by,
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        }
    }

    #[test]
    fn every_series_is_in_one_shard() {
        for i in 0..100 {
            let labels = Labels::from_pairs([("job", "api"), ("pod", i.to_string().as_str())]);
            for (by, names) in [(true, &["pod"][..]), (false, &["job"]), (false, &[])] {
                let homes = (0..3).filter(|n| shard(*n, by, names).contains(&labels));
                assert_eq!(homes.count(), 1);
            }
        }
    }

    #[test]
    fn only_the_labels_that_count_decide() {
        let a = Labels::from_pairs([("job", "api"), ("pod", "a")]);
        let b = Labels::from_pairs([("job", "api"), ("pod", "b")]);
        for n in 0..3 {
            let by = shard(n, true, &["job"]);
            assert_eq!(by.contains(&a), by.contains(&b));
            let without = shard(n, false, &["pod"]);
            assert_eq!(without.contains(&a), by.contains(&b));
        }
        // The same as hashing all labels at once.
        let all = shard(a.stable_hash() % 3, false, &[]);
        assert!(all.contains(&a));
    }
}
