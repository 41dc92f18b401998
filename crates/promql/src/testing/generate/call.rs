//! Calls of functions.

use super::choices::Choices;
use super::{NUMBERS, RANGES, pick, range_vector, scalar, selector, vector};

/// A function of a range vector.
pub(super) fn of_range(choices: &mut dyn Choices, depth: u32) -> String {
    const PLAIN: [&str; 27] = [
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "resets",
        "changes",
        "deriv",
        "avg_over_time",
        "sum_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "last_over_time",
        "first_over_time",
        "present_over_time",
        "absent_over_time",
        "mad_over_time",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
        "rate",
        "increase",
        "sum_over_time",
    ];
    const FACTORS: [&str; 5] = ["0.1", "0.5", "0.9", "0.01", "0.99"];
    match choices.below(12) {
        0..8 => format!(
            "{}({})",
            pick(choices, &PLAIN),
            range_vector(choices, depth)
        ),
        8 => {
            let phi = scalar(choices, depth + 2);
            format!(
                "quantile_over_time({phi}, {})",
                range_vector(choices, depth)
            )
        }
        9 => {
            let range = range_vector(choices, depth);
            format!("predict_linear({range}, {})", scalar(choices, depth + 2))
        }
        10 => {
            let (sf, tf) = (pick(choices, &FACTORS), pick(choices, &FACTORS));
            format!(
                "double_exponential_smoothing({}, {sf}, {tf})",
                range_vector(choices, depth)
            )
        }
        _ => extended(choices),
    }
}

/// A range that counts the values at its ends.
fn extended(choices: &mut dyn Choices) -> String {
    const ANCHORED: [&str; 5] = ["rate", "increase", "delta", "resets", "changes"];
    let name = pick(choices, &super::SELECTORS);
    let range = pick(choices, &RANGES);
    let modifiers = super::modifiers(choices);
    if choices.below(2) == 0 {
        format!(
            "{}({name}[{range}] anchored{modifiers})",
            pick(choices, &ANCHORED)
        )
    } else {
        format!(
            "{}({name}[{range}] smoothed{modifiers})",
            pick(choices, &ANCHORED[..3])
        )
    }
}

/// A function of an instant vector that looks at values.
pub(super) fn of_vector(choices: &mut dyn Choices, depth: u32) -> String {
    const PLAIN: [&str; 37] = [
        "abs",
        "ceil",
        "floor",
        "sqrt",
        "exp",
        "ln",
        "log2",
        "log10",
        "sgn",
        "round",
        "deg",
        "rad",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "minute",
        "hour",
        "month",
        "year",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "absent",
        "timestamp",
        "start_timestamp",
        "-",
        "+",
    ];
    let inner = vector(choices, depth + 1);
    match choices.below(12) {
        0..7 => format!("{}({inner})", pick(choices, &PLAIN)),
        7 => format!("clamp_min({inner}, {})", scalar(choices, depth + 1)),
        8 => format!("clamp_max({inner}, {})", scalar(choices, depth + 1)),
        9 => {
            let (low, high) = (scalar(choices, depth + 2), scalar(choices, depth + 2));
            format!("clamp({inner}, {low}, {high})")
        }
        10 => format!("vector({})", scalar(choices, depth + 1)),
        _ => {
            let function = pick(choices, &["timestamp", "start_timestamp", "absent"]);
            format!("{function}({})", selector(choices))
        }
    }
}

/// A function of histograms.
pub(super) fn of_histogram(choices: &mut dyn Choices, depth: u32) -> String {
    const PLAIN: [&str; 5] = [
        "histogram_count",
        "histogram_sum",
        "histogram_avg",
        "histogram_stddev",
        "histogram_stdvar",
    ];
    const HISTOGRAMS: [&str; 8] = ["h", "hc", "hg", "mix", "b_bucket", "h", "hc", "sth"];
    const PHIS: [&str; 8] = ["0.5", "0.9", "0", "1", "0.01", "-1", "2", "NaN"];
    let inner = match choices.below(4) {
        0 => pick(choices, &HISTOGRAMS).to_owned(),
        1 => format!("rate({}[5m])", pick(choices, &HISTOGRAMS)),
        2 => format!(
            "sum by (job, le) (rate({}[5m]))",
            pick(choices, &HISTOGRAMS)
        ),
        _ => vector(choices, depth + 1),
    };
    match choices.below(6) {
        0 | 1 => format!("{}({inner})", pick(choices, &PLAIN)),
        2 | 3 => format!("histogram_quantile({}, {inner})", pick(choices, &PHIS)),
        4 => {
            let (low, high) = (pick(choices, &NUMBERS), pick(choices, &NUMBERS));
            format!("histogram_fraction({low}, {high}, {inner})")
        }
        _ => {
            let (a, b) = (pick(choices, &PHIS), pick(choices, &PHIS));
            format!("histogram_quantiles({inner}, \"q\", {a}, {b})")
        }
    }
}

/// A function that looks at labels.
pub(super) fn of_labels(choices: &mut dyn Choices, depth: u32) -> String {
    const INFOS: [&str; 7] = [
        "",
        ", {}",
        ", {version=~\".+\"}",
        ", {__name__=\"build_info\"}",
        ", {__name__=~\".+_info\", version!=\"2\"}",
        ", {__name__!=\"target_info\"}",
        ", {version=\"\"}",
    ];
    let inner = vector(choices, depth + 1);
    match choices.below(7) {
        0 => format!("label_replace({inner}, \"dst\", \"$1-x\", \"instance\", \"(.*)\")"),
        1 => format!("label_replace({inner}, \"job\", \"\", \"instance\", \"[01]\")"),
        2 => format!("label_replace({inner}, \"__name__\", \"${{n}}_x\", \"job\", \"(?P<n>a)|b\")"),
        3 => format!("label_join({inner}, \"dst\", \"/\", \"job\", \"zone\", \"nope\")"),
        4 => format!("label_join({inner}, \"__name__\", \"_\", \"job\", \"instance\")"),
        _ => format!("info({inner}{})", pick(choices, &INFOS)),
    }
}
