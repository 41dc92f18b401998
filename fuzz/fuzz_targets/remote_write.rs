//! Remote write 1.0 and 2.0: whatever prost reads as a 1.0 request, the decoder reads as well and finds
//! the same number of series and samples in it, and again when their labels are known; 2.0 never panics.
#![no_main]

use ingester::receive::{DecodeOptions, Decoded, Known, message, v1, v2};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::prometheus::WriteRequest;
use tsdb::batch::SeriesRef;

fuzz_target!(|data: &[u8]| {
    let options = DecodeOptions::default();
    let mut ours = Decoded::new();
    let result = v1::decode(data, &options, &mut ours);
    if let Ok(request) = WriteRequest::decode(data) {
        result.as_ref().expect("prost reads it");
        let mut theirs = Decoded::new();
        message::fill(&request.timeseries, &options, &mut theirs).expect("no limits are set");
        assert_eq!(ours.series_count(), theirs.series_count());
        assert_eq!(ours.sample_count(), theirs.sample_count());
        let kept = |decoded: &Decoded| decoded.batches().map(|(_, b)| b.sample_count()).sum::<usize>();
        assert_eq!(kept(&ours), kept(&theirs));
    }
    // Once all series are known, the same is seen.
    let mut known = Known::default();
    let mut again = Decoded::new();
    for _ in 0..2 {
        assert_eq!(v1::decode_known(data, &options, &known, &mut again), result);
        let series: Vec<_> = (0..again.series_count() as u64).map(|i| Some(SeriesRef(i))).collect();
        again.teach(data, &series, &mut known);
    }
    assert_eq!(ours.series_count(), again.series_count());
    assert_eq!(ours.sample_count(), again.sample_count());
    let _ = v2::decode(data, &options, &mut ours);
});
