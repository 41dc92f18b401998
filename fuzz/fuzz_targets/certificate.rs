//! Certificates: their dates are read, or said not to be there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime::tls::Validity;

fuzz_target!(|data: &[u8]| {
    if let Ok(validity) = Validity::of(data) {
        assert!(validity.left(validity.until_ms.saturating_add(1)).is_none());
    }
});
