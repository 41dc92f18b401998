//! What a value is relative to the one before of its series, as a tag and one to eight bytes.
//!
//! Counters and most gauges are integers or have few decimals, so that their difference is a small
//! integer; what the bits of two such floats have in common is little. For all other values it is the
//! XOR of the bits, without the zero bytes around it.

use crate::cursor::Cursor;
use crate::error::Corruption;

/// What a value is multiplied with to become an integer: whole numbers, hundredths, ten-thousandths,
/// and nanoseconds in seconds.
const SCALES: [f64; 4] = [1.0, 1e2, 1e4, 1e9];
/// Integers from here on are not all floats.
const EXACT_MAX: u64 = 1 << 53;

/// The upper two bits of a tag; three bits of detail and three of the number of bytes less one follow.
const DELTA: u8 = 1;
const BITS: u8 = 2;
const WHOLE: u8 = 3;

/// How a value came from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is the same.
    None,
    /// Times a scale, by its index, and rounded, it is more by so much.
    Delta { scale: u8, by: i64 },
    /// The bits in which it differs.
    Bits(u64),
    /// Its bits: it is relative to nothing.
    Whole(u64),
}

/// The integer nearest to `value`, halves away from zero; the nearest there is for what is none.
/// Readers of all machines must come to the same.
#[inline]
fn nearest(value: f64) -> i64 {
    (value + 0.5_f64.copysign(value)) as i64
}

/// What `value` is more than `before` at the first scale at which it is an integer.
#[inline]
fn delta(value: f64, before: f64) -> Option<(u8, i64)> {
    SCALES.iter().zip(0..).find_map(|(&scale, index)| {
        let n = nearest(value * scale);
        let is_exact =
            n.unsigned_abs() < EXACT_MAX && (n as f64 / scale).to_bits() == value.to_bits();
        is_exact.then(|| (index, n.wrapping_sub(nearest(before * scale))))
    })
}

#[inline]
const fn zigzag(by: i64) -> u64 {
    ((by << 1) ^ (by >> 63)).cast_unsigned()
}

/// How many bytes `n` takes, one at least.
#[inline]
const fn byte_len(n: u64) -> u32 {
    8 - (n | 1).leading_zeros() / 8
}

/// The zero bytes at the low end of `bits`, and `bits` without them.
#[inline]
const fn trimmed(bits: u64) -> (u8, u64) {
    let behind = bits.trailing_zeros() / 8 % 8;
    (behind as u8, bits >> (8 * behind))
}

impl Change {
    #[inline]
    pub(super) fn of(value: f64, before: Option<f64>) -> Self {
        let Some(before) = before else {
            return Self::Whole(value.to_bits());
        };
        let bits = value.to_bits() ^ before.to_bits();
        if bits == 0 {
            return Self::None;
        }
        match delta(value, before) {
            Some((scale, by)) if byte_len(zigzag(by)) <= byte_len(trimmed(bits).1) => {
                Self::Delta { scale, by }
            }
            _ => Self::Bits(bits),
        }
    }

    /// The bits of the value, unless it is relative to one that is not there.
    #[inline]
    pub(super) fn apply(self, before: Option<u64>) -> Option<u64> {
        match self {
            Self::None => before,
            Self::Delta { scale, by } => before.map(|before| {
                let scale = SCALES[usize::from(scale)];
                let n = nearest(f64::from_bits(before) * scale).wrapping_add(by);
                (n as f64 / scale).to_bits()
            }),
            Self::Bits(bits) => before.map(|before| before ^ bits),
            Self::Whole(bits) => Some(bits),
        }
    }

    /// Appends bytes and returns the tag; there is none for what is the same.
    #[inline]
    pub(super) fn put(self, bytes: &mut Vec<u8>) -> Option<u8> {
        let (form, detail, n) = match self {
            Self::None => return None,
            Self::Delta { scale, by } => (DELTA, scale, zigzag(by)),
            Self::Bits(bits) => {
                let (behind, n) = trimmed(bits);
                (BITS, behind, n)
            }
            Self::Whole(bits) => {
                let (behind, n) = trimmed(bits);
                (WHOLE, behind, n)
            }
        };
        let len = byte_len(n);
        let end = bytes.len() + len as usize;
        // Eight and away with some is faster than as many as there are.
        bytes.extend_from_slice(&n.to_le_bytes());
        bytes.truncate(end);
        Some(form << 6 | detail << 3 | (len - 1) as u8)
    }

    /// Reads the bytes of a tag.
    #[inline]
    pub(super) fn take(tag: u8, bytes: &mut Cursor<'_>) -> Result<Self, Corruption> {
        let (form, detail, len) = (tag >> 6, tag >> 3 & 7, usize::from(tag & 7) + 1);
        let taken = bytes.take(len, "the bytes of a value")?;
        let mut le_bytes = [0; 8];
        le_bytes[..len].copy_from_slice(taken);
        let n = u64::from_le_bytes(le_bytes);
        let bits = n.checked_shl(8 * u32::from(detail)).unwrap_or(0);
        let fits = usize::from(detail) + len <= 8;
        match form {
            DELTA if usize::from(detail) < SCALES.len() => Ok(Self::Delta {
                scale: detail,
                by: (n >> 1).cast_signed() ^ -((n & 1).cast_signed()),
            }),
            BITS if fits => Ok(Self::Bits(bits)),
            WHOLE if fits => Ok(Self::Whole(bits)),
            _ => Err(bytes.corrupt("a tag of a known form and at most eight bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-1000..1000i32).prop_map(f64::from),
            any::<i64>().prop_map(|n| n as f64),
            (any::<i32>(), 0..5i32).prop_map(|(n, digits)| f64::from(n) / 10_f64.powi(digits)),
            any::<u64>().prop_map(f64::from_bits),
            prop::sample::select(vec![
                0.0,
                -0.0,
                f64::INFINITY,
                f64::MAX,
                f64::MIN_POSITIVE,
                0.5
            ]),
        ]
    }

    proptest! {
        #[test]
        fn a_change_leads_from_the_value_before_to_the_next(
            value in any_value(),
            before in prop::option::of(any_value()),
        ) {
            let change = Change::of(value, before);
            let mut bytes = Vec::new();
            let read = match change.put(&mut bytes) {
                Some(tag) => Change::take(tag, &mut Cursor::new(&bytes)).unwrap(),
                None => Change::None,
            };
            prop_assert_eq!(read, change);
            prop_assert!(bytes.len() <= 8);
            let found = read.apply(before.map(f64::to_bits));
            prop_assert_eq!(found, Some(value.to_bits()));
        }

        #[test]
        fn any_change_of_any_value_is_some_value(tag: u8, bytes: [u8; 8], before: u64) {
            if let Ok(change) = Change::take(tag, &mut Cursor::new(&bytes)) {
                prop_assert!(change.apply(Some(before)).is_some());
            }
        }
    }

    fn put(value: f64, before: f64) -> (Option<u8>, Vec<u8>) {
        let mut bytes = Vec::new();
        (Change::of(value, Some(before)).put(&mut bytes), bytes)
    }

    #[test]
    fn decimals_differ_by_small_integers() {
        assert_eq!(put(1e6, 1e6), (None, vec![]));
        assert_eq!(put(1_000_037.0, 1e6), (Some(0b01_000_000), vec![74]));
        assert_eq!(put(812.24, 812.27), (Some(0b01_001_000), vec![5]));
        assert_eq!(put(0.8441, 0.8591), (Some(0b01_010_001), vec![0x2b, 0x01]));
        assert_eq!(put(1.25e-4, 1.24e-4), (Some(0b01_011_001), vec![0xd0, 7]));
        // A third has no decimals; 17 is 0x4031.., 16 is 0x4030.., so that bits are as short.
        assert_eq!(put(1.0 / 3.0, 0.5).0.map(|tag| tag >> 6), Some(BITS));
        assert_eq!(put(-0.0, 0.0), (Some(0b10_111_000), vec![0x80]));
    }
}
