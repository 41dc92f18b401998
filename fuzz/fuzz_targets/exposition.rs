//! No exposition makes the parsers or the validator panic, and what is read lies within the input.
#![no_main]

use ingester::exposition::{Entry, Format, Parser, strict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for format in [Format::OpenMetrics, Format::Text] {
        let mut parser = Parser::new(input, format);
        let lines = input.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        loop {
            match parser.next_entry() {
                Ok(Some(Entry::Sample(s))) => {
                    assert!(input.as_ptr_range().contains(&s.series.text.as_ptr()));
                    s.series.to_labels().ok();
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) => {
                    assert!((1..=lines).contains(&e.line));
                    break;
                }
            }
        }
    }
    strict::validate(input).ok();
});
