//! Label sets built from any pairs are sorted, unique, free of empty values, and read back as built.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Labels;

fuzz_target!(|pairs: Vec<(String, String)>| {
    let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v)));
    let read: Vec<_> = labels.iter().collect();
    assert!(read.windows(2).all(|w| w[0].0 < w[1].0));
    for (name, value) in read {
        let last = pairs.iter().rev().find(|(n, _)| n == name).expect("no label is invented");
        assert_eq!(last.1, value);
        assert!(!value.is_empty());
    }
});
