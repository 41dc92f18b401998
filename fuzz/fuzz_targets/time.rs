//! Durations and timestamps that parse print to text that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::time::{DurationMs, Rfc3339, parse_timestamp};

fuzz_target!(|text: &str| {
    if let Ok(duration) = DurationMs::parse_signed(text) {
        assert_eq!(DurationMs::parse_signed(&duration.to_string()), Ok(duration));
    }
    if let Ok(ms) = parse_timestamp(text) {
        // Years that RFC 3339 can write.
        if (-62_167_219_200_000..253_402_300_800_000).contains(&ms) {
            assert_eq!(parse_timestamp(&Rfc3339(ms).to_string()), Ok(ms));
        }
    }
});
