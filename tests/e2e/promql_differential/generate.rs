//! Random expressions, of every kind of node whose meaning is the same in Prometheus 2.42 and today.
//!
//! Left out: what is newer (native histograms, UTF-8 names, fill modifiers, ...); what 2.42 got wrong
//! and later versions put right (`@` inside `predict_linear` and `timestamp`); infinities in sums and deviations, which
//! later versions treat otherwise on purpose; and what makes a large difference of the last bit of its
//! argument (the sine of a large number, the deviation or a reset of almost equal values, the order of ties).

use crate::rng::Rng;

/// Deepest nesting of operators.
const DEPTH_MAX: u32 = 4;

/// Counters, gauges and buckets of the generated data.
const COUNTERS: [&str; 2] = ["requests_total", "bytes_total"];
const GAUGES: [&str; 2] = ["temperature", "queue_depth"];
const BUCKETS: &str = "latency_seconds_bucket";
/// NaN and infinities live here.
const ODD: &str = "odd_values";

const LABELS: [&str; 4] = ["job", "instance", "zone", "code"];
const RANGES: [&str; 6] = ["1m", "90s", "5m", "10m", "23m", "1h"];
/// Not multiples of ten seconds, as the steps are, so that no step of a subquery falls on the left end of
/// the one around it.
const SUBQUERY_RANGES: [&str; 3] = ["187s", "10m3s", "1139s"];
const SUBQUERY_STEPS: [&str; 4] = ["30s", "1m", "20s", ""];

/// An expression that yields an instant vector, or now and then a scalar.
pub(crate) fn expression(rng: &mut Rng) -> String {
    match rng.below(20) {
        0 => scalar(rng, 0),
        _ => vector(rng, 0),
    }
}

fn matchers(rng: &mut Rng) -> String {
    const MATCHERS: [&str; 14] = [
        r#"job="api""#,
        r#"job!="api""#,
        r#"job=~"a.*""#,
        r#"job!~"db|web""#,
        r#"instance=~"i[0-2]""#,
        r#"zone="a""#,
        r#"zone=~"a|c""#,
        r#"zone!="""#,
        r#"zone="""#,
        r#"code=~"2..|5..""#,
        r#"code!~"4.*""#,
        r#"code=~".+""#,
        r#"nope="""#,
        r#"job=~".*b.*""#,
    ];
    let picked: Vec<_> = (0..rng.below(3)).map(|_| *rng.pick(&MATCHERS)).collect();
    if picked.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", picked.join(","))
    }
}

fn modifiers(rng: &mut Rng) -> String {
    let offset = ["", "", "", "", " offset 2m", " offset -3m", " offset 17m"];
    let at = ["", "", "", "", "", " @ start()", " @ end()"];
    format!("{}{}", rng.pick(&offset), rng.pick(&at))
}

fn selector(rng: &mut Rng) -> String {
    let name = match rng.below(10) {
        0..4 => *rng.pick(&COUNTERS),
        4..8 => *rng.pick(&GAUGES),
        8 => BUCKETS,
        _ => "nothing_here",
    };
    format!("{name}{}{}", matchers(rng), modifiers(rng))
}

/// A range of a counter or a gauge, or a subquery. Those of counters are of stored values alone: a
/// computed one may seem to reset where it goes down by its last bit.
fn range_vector(rng: &mut Rng, counter: bool, depth: u32) -> String {
    if depth < DEPTH_MAX && rng.below(4) == 0 {
        let inner = if counter {
            format!("{}{}", rng.pick(&COUNTERS), matchers(rng))
        } else {
            vector(rng, depth + 1)
        };
        let (range, step) = (rng.pick(&SUBQUERY_RANGES), rng.pick(&SUBQUERY_STEPS));
        return format!("({inner})[{range}:{step}]{}", modifiers(rng));
    }
    let name = if counter {
        rng.pick(&COUNTERS)
    } else {
        rng.pick(&GAUGES)
    };
    format!(
        "{name}{}[{}]{}",
        matchers(rng),
        rng.pick(&RANGES),
        modifiers(rng)
    )
}

fn vector(rng: &mut Rng, depth: u32) -> String {
    if depth >= DEPTH_MAX {
        return selector(rng);
    }
    match rng.below(16) {
        0 | 1 => selector(rng),
        2..5 => range_function(rng, depth),
        5..8 => aggregation(rng, depth),
        8 | 9 => element_function(rng, depth),
        10..13 => binary(rng, depth),
        13 => set_operation(rng, depth),
        14 => odd(rng),
        _ => other(rng, depth),
    }
}

fn range_function(rng: &mut Rng, depth: u32) -> String {
    const COUNTER: [&str; 3] = ["rate", "increase", "irate"];
    const DISCRETE: [&str; 2] = ["resets", "changes"];
    const GAUGE: [&str; 10] = [
        "delta",
        "idelta",
        "deriv",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "present_over_time",
        "absent_over_time",
        "max_over_time",
    ];
    if rng.below(4) == 0 {
        return adding_range_function(rng, depth);
    }
    match rng.below(11) {
        0..3 => format!("{}({})", rng.pick(&COUNTER), range_vector(rng, true, depth)),
        3 => format!(
            "{}({})",
            rng.pick(&DISCRETE),
            range_vector(rng, true, depth)
        ),
        4..8 => format!("{}({})", rng.pick(&GAUGE), range_vector(rng, false, depth)),
        8 => {
            let phi = rng.pick(&["0.1", "0.5", "0.95", "1", "-1", "2"]);
            format!(
                "quantile_over_time({phi}, {})",
                range_vector(rng, false, depth)
            )
        }
        _ => format!(
            "predict_linear({}{}[{}], 600)",
            rng.pick(&GAUGES),
            matchers(rng),
            rng.pick(&RANGES)
        ),
    }
}

/// A function that adds up the samples of a range. The two versions do it in different ways, which may
/// differ in the last bit unless the sum is exact, so only sums of stored values go into other functions.
fn adding_range_function(rng: &mut Rng, depth: u32) -> String {
    const ADDING: [&str; 4] = [
        "avg_over_time",
        "sum_over_time",
        "stddev_over_time",
        "stdvar_over_time",
    ];
    if depth == 0 {
        return format!(
            "{}({})",
            rng.pick(&ADDING),
            range_vector(rng, false, DEPTH_MAX)
        );
    }
    format!("sum_over_time({})", range_vector(rng, false, DEPTH_MAX))
}

fn grouping(rng: &mut Rng) -> String {
    let labels: Vec<_> = LABELS
        .iter()
        .filter(|_| rng.below(2) == 0)
        .copied()
        .collect();
    match rng.below(3) {
        0 => String::new(),
        1 => format!(" by ({})", labels.join(", ")),
        _ => format!(" without ({})", labels.join(", ")),
    }
}

fn aggregation(rng: &mut Rng, depth: u32) -> String {
    const PLAIN: [&str; 4] = ["min", "max", "count", "group"];
    let grouping = grouping(rng);
    match rng.below(8) {
        0 if depth == 0 => {
            return format!(
                "{}{grouping}({})",
                rng.pick(&["stddev", "stdvar"]),
                selector(rng)
            );
        }
        1 | 2 if depth == 0 => {
            return format!(
                "{}{grouping}({})",
                rng.pick(&["sum", "avg"]),
                vector(rng, 1)
            );
        }
        // See `adding_range_function`.
        0..3 => return format!("sum{grouping}({})", selector(rng)),
        _ => {}
    }
    let untied = format!("sum_over_time({}{}[10m])", rng.pick(&GAUGES), matchers(rng));
    let inner = vector(rng, depth + 1);
    match rng.below(12) {
        0 => format!("quantile{grouping}(0.7, {inner})"),
        1 => format!(
            "topk{grouping}({}, {untied})",
            rng.pick(&["1", "3", "100", "0"])
        ),
        2 => format!("bottomk{grouping}(2, {untied})"),
        // 2.42 wants the new label to sort after those of the grouping.
        3 => format!(
            "count_values{grouping}(\"zzz\", round({}, 50))",
            selector(rng)
        ),
        _ => format!("{}{grouping}({inner})", rng.pick(&PLAIN)),
    }
}

fn element_function(rng: &mut Rng, depth: u32) -> String {
    const FUNCTIONS: [&str; 18] = [
        "abs",
        "ceil",
        "floor",
        "sqrt",
        "ln",
        "log2",
        "log10",
        "sgn",
        "round",
        "atan",
        "tanh",
        "deg",
        "rad",
        "hour",
        "minute",
        "day_of_week",
        "days_in_month",
        "day_of_year",
    ];
    let inner = vector(rng, depth + 1);
    match rng.below(9) {
        8 => format!("timestamp({}{})", rng.pick(&GAUGES), matchers(rng)),
        0 => format!("clamp({inner}, 10, 500)"),
        1 => format!("clamp_min({inner}, {})", scalar(rng, depth + 1)),
        2 => format!("clamp_max({inner}, 300)"),
        3 => format!("round({inner}, 0.25)"),
        4 => format!("label_replace({inner}, \"dst\", \"$1-x\", \"instance\", \"i(.*)\")"),
        5 => format!("label_join({inner}, \"dst\", \"/\", \"job\", \"zone\")"),
        _ => format!("{}({inner})", rng.pick(&FUNCTIONS)),
    }
}

fn matching(rng: &mut Rng, set: bool) -> String {
    let on = ["job, instance, zone, code", "job, instance", "job", ""];
    let modifier = match rng.below(4) {
        0 | 1 => return String::new(),
        2 => format!(" on ({})", rng.pick(&on)),
        _ => format!(" ignoring ({})", rng.pick(&["code", "zone, code", "nope"])),
    };
    match rng.below(3) {
        0 if !set => format!("{modifier} group_left ({})", rng.pick(&["", "zone"])),
        1 if !set => format!("{modifier} group_right ()"),
        _ => modifier,
    }
}

fn binary(rng: &mut Rng, depth: u32) -> String {
    const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "^"];
    const COMPARISON: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];
    let operator = match rng.below(3) {
        0 => format!("{}{}", rng.pick(&COMPARISON), rng.pick(&["", " bool"])),
        _ => (*rng.pick(&ARITHMETIC)).to_owned(),
    };
    let left = vector(rng, depth + 1);
    match rng.below(4) {
        0 => format!("({left}) {operator} {}", scalar(rng, depth + 1)),
        1 => format!("{} {operator} ({left})", scalar(rng, depth + 1)),
        2 => format!("({left}){} {operator}{} ({left})", "", matching(rng, false)),
        _ => format!(
            "({left}) {operator}{} ({})",
            matching(rng, false),
            vector(rng, depth + 1)
        ),
    }
}

fn set_operation(rng: &mut Rng, depth: u32) -> String {
    let (left, right) = (vector(rng, depth + 1), vector(rng, depth + 1));
    let operator = rng.pick(&["and", "or", "unless"]);
    format!("({left}) {operator}{} ({right})", matching(rng, true))
}

/// Operations that treat NaN and infinities alike in both.
fn odd(rng: &mut Rng) -> String {
    let value = rng.pick(&["0", "1", "-1", "NaN", "+Inf", "2.5"]);
    match rng.below(7) {
        0 => format!("{ODD} > {value}"),
        1 => format!("{ODD} == bool {value}"),
        2 => format!("{ODD} * {value}"),
        3 => format!("-{ODD}"),
        4 => format!("max by (job) ({ODD})"),
        5 => format!("min_over_time({ODD}[10m])"),
        _ => format!("count({ODD} != {ODD})"),
    }
}

fn other(rng: &mut Rng, depth: u32) -> String {
    match rng.below(8) {
        // Of stored values alone: the remainder of a large one is all in its last bits.
        7 => format!("{} % 17.5", selector(rng)),
        0 => format!(
            "histogram_quantile({}, rate({BUCKETS}{}[5m]))",
            rng.pick(&["0.5", "0.99", "0"]),
            matchers(rng)
        ),
        1 if depth == 0 => {
            format!("histogram_quantile(0.9, sum by (le, job) (rate({BUCKETS}[10m])))")
        }
        2 => format!("absent({})", vector(rng, depth + 1)),
        3 => format!("vector({})", scalar(rng, depth + 1)),
        4 => format!("-({})", vector(rng, depth + 1)),
        5 => format!("sort_desc({})", vector(rng, depth + 1)),
        _ => format!("({})", vector(rng, depth + 1)),
    }
}

fn scalar(rng: &mut Rng, depth: u32) -> String {
    const NUMBERS: [&str; 8] = ["1", "-2", "0.5", "100", "1e3", "0", "0x1F", "17.25"];
    if depth >= DEPTH_MAX {
        return (*rng.pick(&NUMBERS)).to_owned();
    }
    match rng.below(8) {
        0 => "time()".to_owned(),
        1 => format!("scalar({})", vector(rng, depth + 1)),
        2 => format!("({} + {})", scalar(rng, depth + 1), scalar(rng, depth + 1)),
        3 => format!(
            "({} > bool {})",
            scalar(rng, depth + 1),
            scalar(rng, depth + 1)
        ),
        4 => "pi()".to_owned(),
        _ => (*rng.pick(&NUMBERS)).to_owned(),
    }
}
