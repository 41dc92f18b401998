//! Records of a log: decode or say why, and what decodes encodes to what decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::wal::RecordType;
use tsdb::wal::record::{
    Changes, Checker, decode_samples, decode_series, encode_changes, encode_samples, encode_series,
};

fuzz_target!(|data: &[u8]| {
    if Checker::default().check(data).is_err() {
        return;
    }
    match RecordType::of(data) {
        Some(RecordType::Samples | RecordType::SamplesV2) => {
            let (mut samples, mut record, mut again) = (Vec::new(), Vec::new(), Vec::new());
            decode_samples(data, &mut samples).expect("it was checked");
            encode_samples(&samples, &mut record);
            decode_samples(&record, &mut again).expect("it was just encoded");
            assert_eq!(format!("{samples:?}"), format!("{again:?}"));
        }
        Some(RecordType::Series) => {
            let (mut series, mut record, mut again) = (Vec::new(), Vec::new(), Vec::new());
            decode_series(data, &mut series).expect("it was checked");
            encode_series(&series, &mut record);
            decode_series(&record, &mut again).expect("it was just encoded");
            assert_eq!(series, again);
        }
        Some(RecordType::Changes) => {
            let (mut samples, mut record, mut again) = (Vec::new(), Vec::new(), Vec::new());
            (Changes::default().decode(data, &mut samples)).expect("it was checked");
            encode_changes(&samples, &[], &mut record);
            (Changes::default().decode(&record, &mut again)).expect("it was just encoded");
            assert_eq!(format!("{samples:?}"), format!("{again:?}"));
        }
        _ => {}
    }
});
