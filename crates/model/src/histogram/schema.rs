//! Schemas and the bucket bounds they imply.
//!
//! Bounds are compared and printed, so they have to be the very floats that Prometheus uses. It
//! holds the bounds between one half and one in a table that was made by repeated multiplication:
//! a schema takes every bound of the schema below and, between each and the next, the former times
//! the growth factor. The same is done here, at compile time; the roundings then agree.

use std::f64::consts::SQRT_2;

/// The schema of histograms whose bucket bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The lowest resolution: each bucket bound is 2^16 times the one before.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;

/// The highest resolution: 256 buckets for each power of two.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

/// The lowest schema set aside for exponential buckets.
pub const EXPONENTIAL_SCHEMA_MIN_RESERVED: i32 = -9;

/// The highest schema set aside for exponential buckets; those above
/// [`EXPONENTIAL_SCHEMA_MAX`] are reduced to it when read.
pub const EXPONENTIAL_SCHEMA_MAX_RESERVED: i32 = 52;

/// True when the bounds are listed in `custom_values`.
pub const fn is_custom_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
}

/// True for the exponential schemas in use, -4 to 8.
pub const fn is_exponential_schema(schema: i32) -> bool {
    EXPONENTIAL_SCHEMA_MIN <= schema && schema <= EXPONENTIAL_SCHEMA_MAX
}

/// True for the schemas a histogram may have once it is in here.
pub const fn is_valid_schema(schema: i32) -> bool {
    is_custom_schema(schema) || is_exponential_schema(schema)
}

/// True for the schemas that may be read, though perhaps only after reducing the resolution.
pub const fn is_known_schema(schema: i32) -> bool {
    is_custom_schema(schema)
        || (EXPONENTIAL_SCHEMA_MIN_RESERVED <= schema && schema <= EXPONENTIAL_SCHEMA_MAX_RESERVED)
}

/// Growth of the bucket bounds in schemas 1 to 8: `2^(2^-schema)`. The first is the float below
/// the closest one, as in Prometheus' table.
const GROWTH: [f64; 8] = [
    SQRT_2.next_down(),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// The bucket bounds in `[0.5, 1)` of schema 8. A lower schema uses every `2^(8 - schema)`th.
const BOUNDS: [f64; 256] = {
    let mut bounds = [0.5; 256];
    let mut schema = 1;
    while schema <= GROWTH.len() {
        let step = bounds.len() >> schema;
        let mut i = step;
        while i < bounds.len() {
            bounds[i] = bounds[i - step] * GROWTH[schema - 1];
            i += 2 * step;
        }
        schema += 1;
    }
    bounds
};

/// The upper bound of bucket `index`; its lower bound is that of `index - 1`.
///
/// Custom buckets begin at index 0. Below them is `-Inf`, above the listed bounds `+Inf`.
pub fn bound(index: i32, schema: i32, custom_values: &[f64]) -> f64 {
    if !is_custom_schema(schema) {
        return exponential_bound(index, schema);
    }
    match usize::try_from(index) {
        Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// The upper bound of bucket `index` in an exponential schema; a schema above 8 is taken for 8.
///
/// The bound of the last bucket for finite numbers is the greatest finite number, so that the
/// bucket after it holds infinite observations and nothing else.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        let growth = schema.unsigned_abs().min(31);
        (0.5, (i64::from(index) << growth) + 1)
    } else {
        let schema = schema.min(EXPONENTIAL_SCHEMA_MAX);
        let within = index & ((1 << schema) - 1);
        let bound = (within as usize) << (EXPONENTIAL_SCHEMA_MAX - schema);
        (BOUNDS[bound], i64::from(index >> schema) + 1)
    };
    if fraction == 0.5 && exponent == 1025 {
        return f64::MAX;
    }
    scale(fraction, exponent)
}

/// `fraction * 2^exponent` for a fraction in `[0.5, 1)`, rounded once.
fn scale(fraction: f64, exponent: i64) -> f64 {
    const EXPONENT_MASK: u64 = 0x7ff << 52;
    // The fraction has the binary exponent -1; the result is normal when it has -1022 to 1023.
    let exponent = exponent - 1;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    if exponent < -1075 {
        return 0.0;
    }
    // Subnormal results are made 2^53 times too large and then scaled down, which rounds them.
    let (exponent, down) = if exponent < -1022 {
        (exponent + 53, 1.0 / (1_u64 << 53) as f64)
    } else {
        (exponent, 1.0)
    };
    let biased = (exponent + 1023) as u64;
    f64::from_bits((fraction.to_bits() & !EXPONENT_MASK) | (biased << 52)) * down
}

/// The index of the bucket that takes in bucket `index` when the schema is lowered by `by`.
pub(super) fn reduced_index(index: i32, by: u32) -> i32 {
    (index.wrapping_sub(1) >> by.min(31)).wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_bounds() {
        for (index, schema, want) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (0, 8, 1.0),
            (512, 8, 4.0),
            (-1, 1, 0.7071067811865475),
            (3, 1, 2.82842712474619),
            (1, 2, 1.189207115002721),
            (3, 3, 1.2968395546510096),
            // Entries of the table that differ from the closest float by its last bit.
            (6 - 256, 8, 0.5081891574554764),
            (254 - 256, 8, 0.9945994234836328),
            (1, -1, 4.0),
            (-1, -4, 2_f64.powi(-16)),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (64, -4, f64::MAX),
            (65, -4, f64::INFINITY),
            (262_144, 8, f64::MAX),
            (262_145, 8, f64::INFINITY),
            (-1074, 0, 5e-324),
            (-1076, 0, 0.0),
            (-1022, 0, f64::MIN_POSITIVE),
            (i32::MAX, -4, f64::INFINITY),
            (i32::MIN, -4, 0.0),
            (i32::MAX, i32::MIN, f64::INFINITY),
            (i32::MIN, i32::MAX, 0.0),
        ] {
            assert_eq!(
                exponential_bound(index, schema),
                want,
                "index {index} of schema {schema}"
            );
        }
    }

    #[test]
    fn bounds_of_lower_schemas_are_among_those_of_higher_ones() {
        for schema in EXPONENTIAL_SCHEMA_MIN..EXPONENTIAL_SCHEMA_MAX {
            for index in -40..40 {
                assert_eq!(
                    exponential_bound(index, schema),
                    exponential_bound(index * 2, schema + 1)
                );
            }
        }
    }

    #[test]
    fn custom_bounds() {
        let bounds = [-1.0, 2.5];
        for (index, want) in [
            (-1, f64::NEG_INFINITY),
            (0, -1.0),
            (1, 2.5),
            (2, f64::INFINITY),
            (3, f64::INFINITY),
            (-2, f64::NEG_INFINITY),
        ] {
            assert_eq!(bound(index, CUSTOM_BUCKETS_SCHEMA, &bounds), want);
        }
    }

    #[test]
    fn schemas() {
        for (schema, valid, known) in [
            (-53, true, true),
            (-54, false, false),
            (-10, false, false),
            (-9, false, true),
            (-4, true, true),
            (8, true, true),
            (9, false, true),
            (52, false, true),
            (53, false, false),
        ] {
            assert_eq!(is_valid_schema(schema), valid, "{schema}");
            assert_eq!(is_known_schema(schema), known, "{schema}");
        }
    }

    #[test]
    fn reduced_indices() {
        for (index, by, want) in [
            (0, 1, 0),
            (1, 1, 1),
            (2, 1, 1),
            (3, 1, 2),
            (-1, 1, 0),
            (-2, 1, -1),
            (8, 3, 1),
            (9, 3, 2),
            (5, 60, 1),
            (-5, 60, 0),
        ] {
            assert_eq!(reduced_index(index, by), want, "{index} by {by}");
        }
    }
}
