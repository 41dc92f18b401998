//! Pushes: a path and a body never panic, and every metric that is kept has the labels of its group.
#![no_main]

use ingester::protocols::pushgateway::decode::decode;
use ingester::protocols::pushgateway::path::GroupKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, bool, bool, &[u8])| {
    let (path, is_protobuf, check_consistency, body) = input;
    let key = GroupKey::parse(path).unwrap_or_default();
    let Ok(families) = decode(body, is_protobuf, &key, check_consistency) else {
        return;
    };
    for metric in families.values().flat_map(|family| &family.metrics) {
        let shown = metric.shown_labels();
        for (name, value) in key.labels() {
            assert!(shown.contains(&(name.as_str(), value.as_str())));
        }
    }
});
