//! Floats as text, the way Prometheus writes them.
//!
//! Every form holds the fewest digits that read back as the same float. The forms differ in when
//! they switch to an exponent:
//!
//! | function | exponent | what is written so |
//! |---|---|---|
//! | [`push_g`] | below 1e-4, from 1e6 on | histograms, number literals, the text exposition format |
//! | [`push_plain`] | never | labels made from values, as by `count_values` |
//! | [`push_json`] | below 1e-6, from 1e21 on | sample values in JSON answers |
//! | [`push_openmetrics`] | as [`push_g`] | the labels `le` and `quantile` |
//!
//! `NaN`, `+Inf` and `-Inf` are spelt so in all forms, and negative zero is `-0`. An exponent has
//! a sign and at least two digits: `1e+06`.
//!
//! Source: Go's `strconv.FormatFloat` with precision -1 and the formats `g`, `f` and `e`.

use std::fmt;
use std::ops::Range;

/// Something text is appended to: a `String`, or a `Vec<u8>` on its way to a socket.
pub trait Text {
    /// Appends `s`.
    fn push_text(&mut self, s: &str);
}

impl Text for String {
    fn push_text(&mut self, s: &str) {
        self.push_str(s);
    }
}

impl Text for Vec<u8> {
    fn push_text(&mut self, s: &str) {
        self.extend_from_slice(s.as_bytes());
    }
}

/// Appends `v` as Go's `%g` does: `0.0001`, `1e-05`, `100000`, `1e+06`.
pub fn push_g<T: Text>(out: &mut T, v: f64) {
    push(out, v, &G_FORM);
}

/// Appends `v` without an exponent, however many zeros that takes.
pub fn push_plain<T: Text>(out: &mut T, v: f64) {
    push(out, v, &PLAIN_FORM);
}

/// Appends `v` as in the values of Prometheus' JSON answers, without the quotes around it.
pub fn push_json<T: Text>(out: &mut T, v: f64) {
    push(out, v, &JSON_FORM);
}

/// Appends `v` as OpenMetrics wants `le` and `quantile`: as [`push_g`], but `1.0` rather than `1`, and
/// zero without its sign.
pub fn push_openmetrics<T: Text>(out: &mut T, v: f64) {
    push_g(out, if v == 0.0 { 0.0 } else { v });
    if v.fract() == 0.0 && v.abs() < 1e6 {
        out.push_text(".0");
    }
}

/// Shows a float as [`push_g`] writes it, for use in format strings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct G(pub f64);

impl fmt::Display for G {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        push_g(&mut text, self.0);
        f.pad(&text)
    }
}

/// Which floats are written without an exponent.
struct Form {
    /// Those whose decimal exponent is this or more,
    min: i32,
    /// and less than this.
    end: i32,
    /// Whole numbers below this are integers that are written without an exponent.
    whole_end: f64,
}

/// Magnitudes whose digits come without an exponent, and are to be written so in all forms but for
/// those that end before.
const LAID_OUT: Range<f64> = 1e-4..1e15;
const LAID_OUT_EXPONENT_MAX: i32 = 15;

/// The first integer whose successor is no float.
const INTEGERS_END: f64 = (1_u64 << 53) as f64;

const G_FORM: Form = Form {
    min: -4,
    end: 6,
    whole_end: 1e6,
};

const PLAIN_FORM: Form = Form {
    min: i32::MIN,
    end: i32::MAX,
    whole_end: INTEGERS_END,
};

const JSON_FORM: Form = Form {
    min: -6,
    end: 21,
    whole_end: INTEGERS_END,
};

fn push(out: &mut impl Text, v: f64, form: &Form) {
    if !v.is_finite() {
        out.push_text(match v {
            f64::INFINITY => "+Inf",
            f64::NEG_INFINITY => "-Inf",
            _ => "NaN",
        });
        return;
    }
    if v == 0.0 {
        out.push_text(if v.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let whole = v as i64;
    if v.abs() < form.whole_end && whole as f64 == v {
        out.push_text(itoa::Buffer::new().format(whole));
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let mut shortest = buffer.format_finite(v);
    if LAID_OUT.contains(&v.abs()) && form.end > LAID_OUT_EXPONENT_MAX {
        // What nearly all values take: the digits are as they are to be.
        out.push_text(shortest.strip_suffix(".0").unwrap_or(shortest));
        return;
    }
    if let Some(magnitude) = shortest.strip_prefix('-') {
        out.push_text("-");
        shortest = magnitude;
    }
    let decimal = Decimal::parse(shortest);
    if decimal.exponent < form.min || decimal.exponent >= form.end {
        decimal.push_scientific(out);
    } else if decimal.is_positional {
        out.push_text(shortest.strip_suffix(".0").unwrap_or(shortest));
    } else {
        decimal.push_positional(out);
    }
}

/// The significant digits of a positive float and where its decimal point goes.
struct Decimal<'a> {
    /// Digits before the point of the text this came from, without leading zeros.
    head: &'a str,
    /// Digits after that point, without trailing zeros; and without leading ones if `head` is empty.
    tail: &'a str,
    /// The power of ten of the first digit.
    exponent: i32,
    /// True when the text this came from had no exponent.
    is_positional: bool,
}

impl<'a> Decimal<'a> {
    /// Takes apart `12.5`, `0.001`, `1.5e-7` and `1e20`.
    fn parse(text: &'a str) -> Self {
        let (mantissa, exponent, is_positional) = match text.split_once('e') {
            Some((mantissa, exponent)) => {
                let exponent = exponent
                    .parse()
                    .expect("shortest digits have a small exponent");
                (mantissa, exponent, false)
            }
            None => (text, 0, true),
        };
        let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let tail = tail.trim_end_matches('0');
        if head == "0" {
            let digits = tail.trim_start_matches('0');
            let zeros = (tail.len() - digits.len()) as i32;
            return Self {
                head: "",
                tail: digits,
                exponent: exponent - zeros - 1,
                is_positional,
            };
        }
        Self {
            head: if tail.is_empty() {
                head.trim_end_matches('0')
            } else {
                head
            },
            tail,
            exponent: exponent + head.len() as i32 - 1,
            is_positional,
        }
    }

    /// The first `n` digits and the others, each in two pieces.
    fn split(&self, n: usize) -> [&'a str; 4] {
        let in_head = n.min(self.head.len());
        let in_tail = (n - in_head).min(self.tail.len());
        let (a, c) = self.head.split_at(in_head);
        let (b, d) = self.tail.split_at(in_tail);
        [a, b, c, d]
    }

    /// Appends `d.ddde±xx`.
    fn push_scientific(&self, out: &mut impl Text) {
        let [a, b, c, d] = self.split(1);
        out.push_text(a);
        out.push_text(b);
        if !(c.is_empty() && d.is_empty()) {
            out.push_text(".");
            out.push_text(c);
            out.push_text(d);
        }
        out.push_text(if self.exponent < 0 { "e-" } else { "e+" });
        let magnitude = self.exponent.unsigned_abs();
        if magnitude < 10 {
            out.push_text("0");
        }
        out.push_text(itoa::Buffer::new().format(magnitude));
    }

    /// Appends the digits with the zeros that put the point in its place.
    fn push_positional(&self, out: &mut impl Text) {
        if self.exponent < 0 {
            out.push_text("0.");
            push_zeros(out, self.exponent.unsigned_abs() as usize - 1);
            out.push_text(self.head);
            out.push_text(self.tail);
            return;
        }
        let whole = self.exponent as usize + 1;
        let [a, b, c, d] = self.split(whole);
        out.push_text(a);
        out.push_text(b);
        push_zeros(out, whole - a.len() - b.len());
        if !(c.is_empty() && d.is_empty()) {
            out.push_text(".");
            out.push_text(c);
            out.push_text(d);
        }
    }
}

/// Appends `n` zeros.
fn push_zeros(out: &mut impl Text, mut n: usize) {
    const ZEROS: &str = "00000000000000000000000000000000";
    while n > 0 {
        let now = n.min(ZEROS.len());
        out.push_text(&ZEROS[..now]);
        n -= now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: fn(&mut String, f64), v: f64) -> String {
        let mut out = String::new();
        push(&mut out, v);
        out
    }

    /// `g`, `plain` and `json` forms; what Go 1.26 printed for the same floats.
    #[test]
    fn forms() {
        #[rustfmt::skip]
        let cases: &[(f64, &str, &str, &str)] = &[
            (0.0, "0", "0", "0"),
            (-0.0, "-0", "-0", "-0"),
            (1.0, "1", "1", "1"),
            (-10627.538652435822, "-10627.538652435822", "-10627.538652435822", "-10627.538652435822"),
            (100000.0, "100000", "100000", "100000"),
            (1e6, "1e+06", "1000000", "1000000"),
            (1234567.0, "1.234567e+06", "1234567", "1234567"),
            (-12345678.5, "-1.23456785e+07", "-12345678.5", "-12345678.5"),
            (-9007199254740991.0, "-9.007199254740991e+15", "-9007199254740991", "-9007199254740991"),
            (9007199254740994.0, "9.007199254740994e+15", "9007199254740994", "9007199254740994"),
            (1e15, "1e+15", "1000000000000000", "1000000000000000"),
            (1e16, "1e+16", "10000000000000000", "10000000000000000"),
            (1.5e17, "1.5e+17", "150000000000000000", "150000000000000000"),
            (1e20, "1e+20", "100000000000000000000", "100000000000000000000"),
            (123456789012345678901.0, "1.2345678901234568e+20", "123456789012345680000", "123456789012345680000"),
            (1e21, "1e+21", "1000000000000000000000", "1e+21"),
            // Ends in 25, between two floats of as many digits: Go takes the even one.
            (248512845332553.63, "2.4851284533255362e+14", "248512845332553.62", "248512845332553.62"),
            (1e-4, "0.0001", "0.0001", "0.0001"),
            (0.00012, "0.00012", "0.00012", "0.00012"),
            (1e-5, "1e-05", "0.00001", "0.00001"),
            (1.25e-6, "1.25e-06", "0.00000125", "0.00000125"),
            (1.25e-7, "1.25e-07", "0.000000125", "1.25e-07"),
            (1e100, "1e+100", &format!("1{}", "0".repeat(100)), "1e+100"),
            (5e-324, "5e-324", &format!("0.{}5", "0".repeat(323)), "5e-324"),
            (f64::MAX, "1.7976931348623157e+308", &format!("17976931348623157{}", "0".repeat(292)), "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN"),
            (crate::sample::STALE_NAN, "NaN", "NaN", "NaN"),
        ];
        for &(v, g, plain, json) in cases {
            assert_eq!(text(push_g, v), g);
            assert_eq!(text(push_plain, v), plain);
            assert_eq!(text(push_json, v), json);
            assert_eq!(G(v).to_string(), g);
            let mut bytes = Vec::new();
            push_g(&mut bytes, v);
            assert_eq!(bytes, g.as_bytes());
        }
    }

    #[test]
    fn openmetrics_marks_whole_numbers_as_floats() {
        for (v, want) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (0.5, "0.5"),
            (-3.0, "-3.0"),
            (999999.0, "999999.0"),
            (1e6, "1e+06"),
            (1e-5, "1e-05"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(push_openmetrics, v), want);
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_written_as_integers(i in -(1_i64 << 53)..1 << 53) {
            prop_assert_eq!(text(push_plain, i as f64), i.to_string());
            prop_assert_eq!(text(push_json, i as f64), i.to_string());
        }

        #[test]
        fn every_form_reads_back(v in any::<f64>()) {
            let read = |push: fn(&mut String, f64)| text(push, v).parse::<f64>().unwrap().to_bits();
            for push in [push_g, push_plain, push_json] {
                prop_assert_eq!(read(push), v.to_bits());
            }
            let unsigned_zero = if v == 0.0 { 0.0 } else { v };
            prop_assert_eq!(read(push_openmetrics), unsigned_zero.to_bits());
        }

        #[test]
        fn common_magnitudes_are_laid_out(exponent in -4.0..15.0_f64, is_negative in any::<bool>()) {
            let magnitude = 10_f64.powf(exponent).max(LAID_OUT.start);
            prop_assume!(LAID_OUT.contains(&magnitude));
            let v = if is_negative { -magnitude } else { magnitude };
            let written = text(push_json, v);
            prop_assert_eq!(written.parse::<f64>(), Ok(v));
            // As long as what the standard library has, which rounds the last of 17 digits otherwise.
            prop_assert_eq!(written.len(), v.to_string().len());
            prop_assert!(!written.contains('e'));
        }

        #[test]
        fn plain_is_as_short_as_the_standard_library_has_it(v in any::<f64>()) {
            prop_assert_eq!(text(push_plain, v).len(), v.to_string().len());
        }
    }
}
