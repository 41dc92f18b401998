//! No protobuf exposition makes the decoder panic, with whichever forms of histograms are taken, and every sample of
//! what it takes can be named or says which of its labels is there twice.
#![no_main]

use std::convert::Infallible;

use ingester::exposition::protobuf::{Families, HistogramForms, samples};
use libfuzzer_sys::fuzz_target;

const FORMS: [HistogramForms; 3] = [
    HistogramForms { native: false, always_classic: false },
    HistogramForms { native: true, always_classic: false },
    HistogramForms { native: true, always_classic: true },
];

fuzz_target!(|input: &[u8]| {
    // Half of the inputs are one family, so that its length need not be guessed.
    let mut framed = Vec::new();
    let input = match input.split_first() {
        Some((first, family)) if first % 2 == 1 => {
            prost::encode_length_delimiter(family.len(), &mut framed).expect("a vector grows");
            framed.extend_from_slice(family);
            &framed
        }
        _ => input,
    };
    for family in Families::new(input).map_while(Result::ok) {
        for forms in FORMS {
            let named = samples(&family, forms, |sample| {
                if let Err(twice) = sample.name.to_labels() {
                    let is_own = sample.name.has_label(&twice);
                    assert!(is_own, "{twice} is no label of {:?}", sample.name);
                }
                Ok::<(), Infallible>(())
            });
            let Ok(()) = named;
        }
    }
});
