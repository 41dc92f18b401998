//! Logarithms and powers of two that round as Go's do, and thus as Prometheus'.
//!
//! The natural logarithm of the C library is closer to the real one, which shows in the last bit of
//! one result in twenty. Quantiles, trimmed buckets and PromQL's `ln` have to agree in that bit, so
//! the method is the one of Go's `math.Log`, which is that of fdlibm's `e_log.c`: `v` is taken apart
//! as `2^k * (1 + f)` with `1 + f` near 1, and the logarithm of the latter is a polynomial in
//! `(f / (2 + f))^2`. Error below one unit in the last place.

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E, LOG10_E};

/// `LN_2` with its last 32 bits zero, so that multiples are exact, and the rest of it.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// The natural logarithm.
pub fn ln(v: f64) -> f64 {
    /// Coefficients of the polynomial, close to `2 / 3`, `2 / 5` and so on.
    const C: [f64; 7] = [
        f64::from_bits(0x3fe5_5555_5555_5593),
        f64::from_bits(0x3fd9_9999_9997_fa04),
        f64::from_bits(0x3fd2_4924_9422_9359),
        f64::from_bits(0x3fcc_71c5_1d8e_78af),
        f64::from_bits(0x3fc7_4664_96cb_03de),
        f64::from_bits(0x3fc3_9a09_d078_c69f),
        f64::from_bits(0x3fc2_f112_df3e_5244),
    ];
    if v == 0.0 {
        return f64::NEG_INFINITY;
    }
    if v < 0.0 || v.is_nan() || v == f64::INFINITY {
        return if v < 0.0 { f64::NAN } else { v };
    }
    let (mut fraction, mut k) = split(v);
    if fraction < FRAC_1_SQRT_2 {
        fraction *= 2.0;
        k -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (C[0] + s4 * (C[2] + s4 * (C[4] + s4 * C[6])));
    let even = s4 * (C[1] + s4 * (C[3] + s4 * C[5]));
    let half_square = 0.5 * f * f;
    let correction = s * (half_square + (odd + even)) + k * LN_2_LOW;
    k * LN_2_HIGH - ((half_square - correction) - f)
}

/// The binary logarithm, exact for powers of two.
pub fn log2(v: f64) -> f64 {
    let (fraction, exponent) = split(v);
    if fraction == 0.5 {
        return exponent - 1.0;
    }
    ln(fraction) * LOG2_E + exponent
}

/// The decimal logarithm.
pub fn log10(v: f64) -> f64 {
    ln(v) * LOG10_E
}

/// Two to the power of `v`.
///
/// The nearest integer becomes the exponent; for the rest a polynomial approximates
/// `r * (e^r + 1) / (e^r - 1)`, as in fdlibm's `e_exp.c`.
pub fn exp2(v: f64) -> f64 {
    /// Coefficients of even powers, close to `1 / 6`, `-1 / 360` and so on.
    const C: [f64; 5] = [
        f64::from_bits(0x3fc5_5555_5555_5555),
        f64::from_bits(0xbf66_c16c_16be_bd93),
        f64::from_bits(0x3f11_566a_af25_de2c),
        f64::from_bits(0xbebb_bd41_c5d2_6bf1),
        f64::from_bits(0x3e66_3769_72be_a4d0),
    ];
    if v.is_nan() {
        return v;
    }
    if v > 1024_f64.next_down() {
        return f64::INFINITY;
    }
    if v < -1074.0 {
        return 0.0;
    }
    let k = (v + 0.5_f64.copysign(v)) as i32;
    let rest = v - f64::from(k);
    let high = rest * LN_2_HIGH;
    let low = -rest * LN_2_LOW;
    let r = high - low;
    let t = r * r;
    let c = r - t * (C[0] + t * (C[1] + t * (C[2] + t * (C[3] + t * C[4]))));
    let power = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    // In two steps, as one factor alone may be no normal number. Only the second one rounds.
    let factor = |k: i32| f64::from_bits(((k + 1023) as u64) << 52);
    power * factor(k / 2) * factor(k - k / 2)
}

/// `v` as a fraction, in `[0.5, 1)` if `v` is positive and finite, times two to the power of the
/// second number.
fn split(v: f64) -> (f64, f64) {
    const EXPONENT_MASK: u64 = 0x7ff << 52;
    if v == 0.0 || !v.is_finite() {
        return (v, 0.0);
    }
    let (normal, shift) = if v.is_normal() {
        (v, 0)
    } else {
        (v * (1_u64 << 52) as f64, 52)
    };
    let biased = (normal.to_bits() & EXPONENT_MASK) >> 52;
    let fraction = f64::from_bits((normal.to_bits() & !EXPONENT_MASK) | (1022 << 52));
    (fraction, f64::from(biased as i32 - 1022 - shift))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bits of `ln`, `log2` and `log10` as Go 1.26 computes them. On amd64 it takes
    /// subnormal numbers for normal ones; here they are right.
    #[test]
    fn rounds_as_go_does() {
        #[rustfmt::skip]
        let cases = [
            (0.3, 0xbff3_4378_fcbd_a721, 0xbffb_ca9c_6f53_897a, 0xbfe0_bb6c_34d8_1502),
            (0.7, 0xbfd6_d3c3_24e1_3f50, 0xbfe0_7762_2896_7d13, 0xbfc3_d3d3_d21c_cf04),
            (1.1, 0x3fb8_663f_793c_46cc, 0x3fc1_99b7_28cb_9d0c, 0x3fa5_316c_0a18_add6),
            (3.0, 0x3ff1_93ea_7aad_030a, 0x3ff9_5c01_a39f_bd69, 0x3fde_8927_964f_d5fc),
            (5.0, 0x3ff9_c041_f7ed_8d33, 0x4002_934f_0979_a371, 0x3fe6_5df6_57b0_4300),
            (7.0, 0x3fff_2272_ae32_5a57, 0x4006_7576_7f54_042d, 0x3feb_0b0b_0b78_cc3f),
            (10.0, 0x4002_6bb1_bbb5_5516, 0x400a_934f_0979_a371, 0x3ff0_0000_0000_0000),
            (123.456, 0x4013_4377_4f3e_2362, 0x401b_ca9a_03b1_083a, 0x4000_bb6a_bfc9_68ef),
            (1e-10, 0xc037_069e_2aa2_aa5b, 0xc040_9c11_65ec_0627, 0xc024_0000_0000_0000),
            (6.02e+23, 0x404b_6094_e92c_ca28, 0x4053_bf9f_7e29_abe6, 0x4037_c793_a2ba_0759),
            (1.7976931348623157e+308, 0x4086_2e42_fefa_39ef, 0x4090_0000_0000_0000, 0x4073_4413_509f_79ff),
            (0.9999999, 0xbe7a_d7f2_b104_9b9f, 0xbe83_5d10_0a80_09b2, 0xbe67_50e5_f0ba_08cd),
        ];
        for (v, natural, binary, decimal) in cases {
            assert_eq!(ln(v).to_bits(), natural, "ln({v})");
            assert_eq!(log2(v).to_bits(), binary, "log2({v})");
            assert_eq!(log10(v).to_bits(), decimal, "log10({v})");
        }
    }

    #[test]
    fn powers_round_as_go_does() {
        for (v, want) in [
            (0.1, 0x3ff1_25fb_ee25_0664),
            (-0.7, 0x3fe3_b2c4_7bff_8329),
            (std::f64::consts::LOG2_10, 0x4023_ffff_ffff_ffff),
            (-10.5, 0x3f46_a09e_667f_3bcc),
            (1023.9, 0x7fed_db68_0117_aa8e),
            (-1022.3, 0x000c_fefc_5e67_2a12),
            (-1060.7, 0x0000_0000_0000_2766),
        ] {
            assert_eq!(exp2(v).to_bits(), want, "exp2({v})");
        }
        for exponent in -1022..=1023 {
            assert_eq!(exp2(f64::from(exponent)), 2_f64.powi(exponent));
        }
        assert_eq!(exp2(-1074.0), 5e-324);
        for (v, want) in [
            (1024.0, f64::INFINITY),
            (f64::INFINITY, f64::INFINITY),
            (-1075.0, 0.0),
            (f64::NEG_INFINITY, 0.0),
        ] {
            assert_eq!(exp2(v), want);
        }
        assert!(exp2(f64::NAN).is_nan());
    }

    #[test]
    fn ends_of_the_range() {
        for log in [ln, log2, log10] {
            assert_eq!(log(1.0), 0.0);
            assert_eq!(log(0.0), f64::NEG_INFINITY);
            assert_eq!(log(-0.0), f64::NEG_INFINITY);
            assert_eq!(log(f64::INFINITY), f64::INFINITY);
            assert!(log(-1.0).is_nan());
            assert!(log(f64::NEG_INFINITY).is_nan());
            assert!(log(f64::NAN).is_nan());
        }
        for exponent in -1022..=1023 {
            assert_eq!(log2(2_f64.powi(exponent)), f64::from(exponent));
        }
        for shift in 0..52 {
            let subnormal = f64::from_bits(1 << shift);
            assert_eq!(log2(subnormal), f64::from(shift - 1074));
        }
        assert_eq!(ln(f64::from_bits(1)), -744.4400719213812);
    }

    proptest! {
        #[test]
        fn is_a_logarithm(v in 0.0..f64::MAX) {
            prop_assert!((ln(v) - v.ln()).abs() <= 2.0 * f64::EPSILON * v.ln().abs());
            prop_assert!((log2(v) - v.log2()).abs() <= 4.0 * f64::EPSILON * v.log2().abs().max(1.0));
        }
    }
}
