//! Whatever the text, parsing is fast and the stack suffices; so it does for all that is done with
//! the trees of accepted texts.

use std::time::{Duration, Instant};

use model::ErrorKind;
use promql::ast::Expr;
use promql::parse::{Limits, Options, ParseError, parse_expr};
use promql::print::{pretty, to_json};

/// What the limits are made for; threads of the standard library have twice as much.
const STACK: usize = 1 << 20;

/// Runs `test` on a small stack.
fn on_a_small_stack<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(test).expect("a thread can be started");
    thread.join().expect("the test on the thread passes")
}

fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_expr(text, Options::all_features())
}

/// Texts of `n` parts that stand inside or above each other, and the limit that bounds them.
fn towers(n: usize) -> Vec<(String, &'static str)> {
    let nested = |open: &str, inside: &str, close: &str| {
        format!("{}{inside}{}", open.repeat(n), close.repeat(n))
    };
    vec![
        (nested("(", "a", ")"), "max_nesting"),
        (nested("abs(", "a", ")"), "max_nesting"),
        (nested("sum by (x) (", "a", ")"), "max_nesting"),
        (nested("topk(2, -", "a", ")"), "max_nesting"),
        (
            nested("1 or a and b == c + d * e ^ (", "a", ")"),
            "max_nesting",
        ),
        (nested("a ^ ", "a", ""), "max_nesting"),
        (nested("a + (", "a", ") + b"), "max_nesting"),
        (nested("a[(", "5m", ")]"), ""),
        (format!("a[{}]", nested("(", "5m", ")")), "max_nesting"),
        (format!("a[{}5m]", "step() ^ ".repeat(n)), "max_nesting"),
        (format!("a[{}5m]", "-".repeat(n)), "max_nesting"),
        (format!("a offset {}5m", "+".repeat(n)), "max_nesting"),
        (format!("a[5m{}]", " + 5m".repeat(n)), "max_height"),
        (nested("", "a", " + a"), "max_height"),
        (nested("", "a", " or on (x) a"), "max_height"),
        (nested("", "1", "+1"), "max_height"),
        (nested("-", "a", ""), "max_height"),
        (nested("", "a", "[1m:]"), "max_height"),
        (nested("", "{}", " + {}"), "non-empty matcher"),
        (nested("{", "a", "}"), "left brace"),
        (nested("", "a", "{"), "brace"),
        (nested("[", "a", "]"), "unexpected"),
    ]
}

#[test]
fn towers_are_refused_quickly() {
    for (text, reason) in towers(100_000) {
        let start = Instant::now();
        let (shown, length) = (text[..40].to_owned(), text.len());
        let result = on_a_small_stack(move || parse(&text).map(|_| ()));
        let took = start.elapsed();
        let error = result.expect_err(&shown);
        assert!(
            error.message().contains(reason) || length > 1 << 20,
            "{shown}: {error}"
        );
        // Debug builds are slow; it is quadratic time that would show here.
        assert!(took < Duration::from_secs(10), "{shown}: {took:?}");
    }
}

#[test]
fn trees_within_the_limits_fit_on_a_small_stack() {
    let Limits {
        max_nesting,
        max_height,
        ..
    } = Limits::DEFAULT;
    let mut accepted = 0;
    for n in [40, max_nesting as usize - 2, max_height as usize - 1] {
        for (text, _) in towers(n) {
            accepted += on_a_small_stack(move || {
                let Ok(tree) = parse(&text) else { return 0 };
                let copy = tree.clone();
                assert!(copy == tree);
                let printed = tree.to_string();
                drop(tree);
                assert_eq!(parse(&printed).unwrap().to_string(), printed);
                assert!(pretty(&copy).len() >= printed.len());
                // JSON takes more stack; servers have twice as much.
                if n <= 250 {
                    assert!(to_json(&copy).to_string().len() > printed.len());
                }
                1
            });
        }
    }
    assert!(accepted > 25, "only {accepted} were accepted");
}

#[test]
fn errors_name_the_limit() {
    let small = Options {
        limits: Limits {
            max_length: 30,
            max_nesting: 4,
            max_height: 5,
        },
        ..Options::default()
    };
    for (text, position, limit) in [
        ("a + b + c + d + eeeeeeeeeeeeeeeee", "1:31", "max_length"),
        ("((((a))))", "1:5", "max_nesting"),
        ("a+b+c+d+e+f+g", "1:12", "max_height"),
    ] {
        let error = parse_expr(text, small).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
        assert!(error.to_string().starts_with(position), "{error}");
        assert!(error.message().contains(limit), "{error}");
    }
    assert!(parse_expr("(((a)))", small).is_ok());
    assert!(parse_expr("a+b+c+d+e", small).is_ok());
}

#[test]
fn pretty_printing_is_not_quadratic() {
    let text = format!("a{}", " + -(aaaaaaaaaaaaaaaaaa{b=\"c\"} or x)".repeat(900));
    let tree = parse(&text).unwrap();
    let start = Instant::now();
    let lines = pretty(&tree).lines().count();
    assert!(lines > 900);
    assert!(start.elapsed() < Duration::from_secs(10));
}
