//! Any text is refused or parsed; what is printed of a tree parses again and prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::ast::{At, Duration, Expr};
use promql::parse::series::{parse_series, parse_start_timestamps};
use promql::parse::{Options, parse_expr, parse_selector};
use promql::print::{pretty, to_json};

/// False where printing loses something: durations have milliseconds, timestamps the bits of a float.
fn is_exact(tree: &Expr) -> bool {
    let whole = |d: &Duration| !matches!(d, Duration::Fixed(nanos) if nanos % 1_000_000 != 0);
    let small = |at: Option<At>| !matches!(at, Some(At::Timestamp(t)) if t.unsigned_abs() >> 50 != 0);
    let mut exact = true;
    tree.walk(&mut |expr| {
        exact &= match expr {
            Expr::Vector(e) => whole(&e.offset) && small(e.at),
            Expr::Matrix(e) => whole(&e.range) && whole(&e.selector.offset) && small(e.selector.at),
            Expr::Subquery(e) => {
                whole(&e.range) && whole(&e.offset) && e.step.as_ref().is_none_or(whole) && small(e.at)
            }
            _ => true,
        }
    });
    exact
}

fuzz_target!(|text: &str| {
    let options = Options::all_features();
    let _ = parse_selector(text, options);
    let _ = parse_start_timestamps(text);
    // A few bytes can stand for a million values.
    if !text.contains('x') {
        let _ = parse_series(text);
    }
    let Ok(tree) = parse_expr(text, options) else { return };
    let printed = tree.to_string();
    to_json(&tree);
    // As in Prometheus, infinity is printed with its sign, which then belongs to the power.
    let signed_power = printed.contains("Inf") && printed.contains('^');
    if is_exact(&tree) && !signed_power {
        for form in [&printed, &pretty(&tree)] {
            match parse_expr(form, options) {
                Ok(again) => assert_eq!(again.to_string(), printed),
                Err(error) => panic!("{error}: {form}"),
            }
        }
    }
});
