//! From when until when a certificate is valid, read from its DER form (RFC 5280, section 4.1).
//!
//! Only what leads to the dates is walked; nothing is verified.

use std::time::Duration;

use model::time::parse_timestamp;

/// Tags of ASN.1.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate, which may be left out.
const VERSION: u8 = 0xa0;

/// When a certificate is valid, in milliseconds since the Unix epoch, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

/// Why the dates of a certificate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no X.509 certificate: {0}")]
pub struct NotACertificate(&'static str);

impl Validity {
    /// The dates of a certificate.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(certificate: &[u8]) -> Result<Self, NotACertificate> {
        let (outer, _) = element(certificate, SEQUENCE)?;
        let (mut signed, _) = element(outer, SEQUENCE)?;
        if signed.first() == Some(&VERSION) {
            (_, signed) = element(signed, VERSION)?;
        }
        // Serial number, algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, signed) = element(signed, tag)?;
        }
        let (dates, _) = element(signed, SEQUENCE)?;
        let (from_ms, rest) = time(dates)?;
        let (until_ms, _) = time(rest)?;
        Ok(Self { from_ms, until_ms })
    }

    /// The time that is left at `now_ms`; `None` when it is not valid then.
    pub fn left(self, now_ms: i64) -> Option<Duration> {
        let left = u64::try_from(self.until_ms.checked_sub(now_ms)?).ok()?;
        (self.from_ms <= now_ms).then(|| Duration::from_millis(left))
    }
}

/// The content of the element that `bytes` begin with, which has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), NotACertificate> {
    let cut = NotACertificate("it ends in the middle of an element");
    let [found, short, rest @ ..] = bytes else {
        return Err(cut);
    };
    if *found != tag {
        return Err(NotACertificate("an element is of another kind"));
    }
    let (len, rest) = match short {
        0..=0x7f => (usize::from(*short), rest),
        // Certificates have lengths of up to three bytes.
        0x81..=0x84 => {
            let digits = usize::from(short - 0x80);
            let (digits, rest) = rest.split_at_checked(digits).ok_or(cut)?;
            let len = digits.iter().fold(0, |n, d| n << 8 | u64::from(*d));
            (usize::try_from(len).map_err(|_| cut)?, rest)
        }
        _ => return Err(NotACertificate("an element has no length")),
    };
    rest.split_at_checked(len).ok_or(cut)
}

/// The time that `bytes` begin with, and what follows it.
fn time(bytes: &[u8]) -> Result<(i64, &[u8]), NotACertificate> {
    let wrong = NotACertificate("a date cannot be read");
    let tag = *bytes.first().ok_or(wrong)?;
    let (text, rest) = match tag {
        UTC_TIME | GENERALIZED_TIME => element(bytes, tag)?,
        _ => return Err(wrong),
    };
    let digits = text.strip_suffix(b"Z").ok_or(wrong)?;
    let year_digits = if tag == UTC_TIME { 2 } else { 4 };
    if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    let part = |from: usize, to: usize| std::str::from_utf8(&digits[from..to]).unwrap_or_default();
    let century = match (tag, part(0, 2)) {
        (UTC_TIME, year) if year < "50" => "20",
        (UTC_TIME, _) => "19",
        _ => "",
    };
    let at = |n: usize| part(year_digits + 2 * n, year_digits + 2 * n + 2);
    let year = part(0, year_digits);
    let text = format!(
        "{century}{year}-{}-{}T{}:{}:{}Z",
        at(0),
        at(1),
        at(2),
        at(3),
        at(4)
    );
    let ms = parse_timestamp(&text).map_err(|_| wrong)?;
    Ok((ms, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An element with a length in the shortest form.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        let mut out = vec![tag];
        match len {
            0..0x80 => out.push(len as u8),
            0x80..0x100 => out.extend([0x81, len as u8]),
            _ => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    fn certificate(version: &[u8], from: (u8, &str), until: (u8, &str)) -> Vec<u8> {
        let dates = [
            der(from.0, from.1.as_bytes()),
            der(until.0, until.1.as_bytes()),
        ]
        .concat();
        let signed = [
            version.to_vec(),
            der(INTEGER, &[5; 20]),
            der(SEQUENCE, &[6, 1, 1]),
            der(SEQUENCE, &[0x31; 200]),
            der(SEQUENCE, &dates),
            der(SEQUENCE, &[1; 300]),
        ]
        .concat();
        let outer = [der(SEQUENCE, &signed), der(SEQUENCE, &[0])].concat();
        der(SEQUENCE, &outer)
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        let version = der(VERSION, &der(INTEGER, &[2]));
        let bytes = certificate(
            &version,
            (UTC_TIME, "700101000010Z"),
            (GENERALIZED_TIME, "20500102030405Z"),
        );
        let validity = Validity::of(&bytes).unwrap();
        let until_ms = parse_timestamp("2050-01-02T03:04:05Z").unwrap();
        assert_eq!((validity.from_ms, validity.until_ms), (10_000, until_ms));
        assert_eq!(validity.left(9_999), None);
        assert_eq!(
            validity.left(until_ms - 5_000),
            Some(Duration::from_secs(5))
        );
        assert_eq!(validity.left(until_ms + 1), None);
        let old = certificate(
            &[],
            (UTC_TIME, "491231235959Z"),
            (UTC_TIME, "500101000000Z"),
        );
        let validity = Validity::of(&old).unwrap();
        assert_eq!(
            Ok(validity.from_ms),
            parse_timestamp("2049-12-31T23:59:59Z")
        );
        assert_eq!(
            Ok(validity.until_ms),
            parse_timestamp("1950-01-01T00:00:00Z")
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for (from, until) in [
            ((UTC_TIME, "7001010000Z"), (UTC_TIME, "700101000010Z")),
            ((UTC_TIME, "701301000010Z"), (UTC_TIME, "700101000010Z")),
            ((UTC_TIME, "700101000010+0100"), (UTC_TIME, "700101000010Z")),
            ((INTEGER, "1"), (UTC_TIME, "700101000010Z")),
        ] {
            assert!(
                Validity::of(&certificate(&[], from, until)).is_err(),
                "{from:?}"
            );
        }
        assert!(Validity::of(b"").is_err() && Validity::of(b"-----BEGIN").is_err());
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_no_panic(
            at in 0usize..700, value in any::<u8>(), len in 0usize..700,
        ) {
            let mut bytes = certificate(
                &[], (UTC_TIME, "700101000010Z"), (GENERALIZED_TIME, "20500102030405Z"));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(len);
            let _ = Validity::of(&bytes);
        }
    }
}
