//! Whatever the text, parsing is fast and the stack suffices; so it does for all that is done with
//! the trees of accepted texts.

use std::time::{Duration, Instant};

use model::ErrorKind;
use promql::ast::Expr;
use promql::parse::{Limits, Options, ParseError, parse_expr};
use promql::print::{pretty, to_json};

/// What the limits are made for; threads of the standard library have twice as much.
const STACK: usize = 1 << 20;

/// What the highest limits are made for, half of what threads of servers have.
const SERVER_STACK: usize = 4 << 20;

/// Runs `test` on a stack of so many bytes.
fn on_a_stack<T: Send + 'static>(bytes: usize, test: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(bytes);
    let thread = thread.spawn(test).expect("a thread can be started");
    thread.join().expect("the test on the thread passes")
}

fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_expr(text, Options::all_features())
}

/// As [`parse`], with all that may be allowed.
fn parse_highest(text: &str) -> Result<Expr, ParseError> {
    let options = Options {
        limits: Limits {
            are_flags: true,
            ..Limits::HIGHEST
        },
        ..Options::all_features()
    };
    parse_expr(text, options)
}

/// Texts of `n` parts that stand inside or above each other, and the limit that bounds them.
fn towers(n: usize) -> Vec<(String, &'static str)> {
    let nested = |open: &str, inside: &str, close: &str| {
        format!("{}{inside}{}", open.repeat(n), close.repeat(n))
    };
    vec![
        (nested("(", "a", ")"), "--query.max-nesting"),
        (nested("abs(", "a", ")"), "--query.max-nesting"),
        (nested("sum by (x) (", "a", ")"), "--query.max-nesting"),
        (nested("topk(2, -", "a", ")"), "--query.max-nesting"),
        (
            nested("1 or a and b == c + d * e ^ (", "a", ")"),
            "--query.max-nesting",
        ),
        (nested("a ^ ", "a", ""), "--query.max-nesting"),
        (nested("a + (", "a", ") + b"), "--query.max-nesting"),
        (nested("a[(", "5m", ")]"), ""),
        (
            format!("a[{}]", nested("(", "5m", ")")),
            "--query.max-nesting",
        ),
        (
            format!("a[{}5m]", "step() ^ ".repeat(n)),
            "--query.max-nesting",
        ),
        (format!("a[{}5m]", "-".repeat(n)), "--query.max-nesting"),
        (
            format!("a offset {}5m", "+".repeat(n)),
            "--query.max-nesting",
        ),
        (
            format!("a[5m{}]", " + 5m".repeat(n)),
            "--query.max-operators",
        ),
        (nested("", "a", " + a"), "--query.max-operators"),
        (nested("", "a", " or on (x) a"), "--query.max-operators"),
        (nested("", "1", "+1"), "--query.max-operators"),
        (nested("-", "a", ""), "--query.max-operators"),
        (nested("", "a", "[1m:]"), "--query.max-operators"),
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
        let result = on_a_stack(STACK, move || {
            let highest = parse_highest(&text).map(|_| ());
            (parse(&text).map(|_| ()), highest)
        });
        let took = start.elapsed();
        let (refused, highest) = result;
        let error = refused.expect_err(&shown);
        let limit = format!("{length} bytes, and the limit is 16384");
        assert!(
            !error.message().contains("--query"),
            "no flag says it: {error}"
        );
        assert!(error.message().contains(&limit), "{shown}: {error}");
        let error = highest.expect_err(&shown);
        assert!(error.message().contains(reason), "{shown}: {error}");
        // Debug builds are slow; it is quadratic time that would show here.
        assert!(took < Duration::from_secs(10), "{shown}: {took:?}");
    }
}

/// What is done with trees, with those of `limits`; how many texts became trees.
fn use_trees(limits: Limits, stack: usize) -> i32 {
    let mut accepted = 0;
    for n in [
        40,
        limits.max_nesting as usize - 2,
        limits.max_height as usize - 1,
    ] {
        for (text, _) in towers(n) {
            accepted += on_a_stack(stack, move || {
                let options = Options {
                    limits,
                    ..Options::all_features()
                };
                let Ok(tree) = parse_expr(&text, options) else {
                    return 0;
                };
                let copy = tree.clone();
                assert!(copy == tree);
                let printed = tree.to_string();
                drop(tree);
                let again = parse_highest(&printed).map(|tree| tree.to_string());
                assert_eq!(again.as_ref(), Ok(&printed));
                assert!(pretty(&copy).len() >= printed.len());
                // JSON takes more stack; servers have twice as much.
                if n <= 250 {
                    assert!(to_json(&copy).to_string().len() > printed.len());
                }
                1
            });
        }
    }
    accepted
}

#[test]
fn trees_within_the_limits_fit_on_a_small_stack() {
    let accepted = use_trees(Limits::DEFAULT, STACK);
    assert!(accepted > 25, "only {accepted} were accepted");
    let accepted = use_trees(Limits::HIGHEST, SERVER_STACK);
    assert!(accepted > 25, "only {accepted} of the highest");
}

#[test]
fn errors_name_the_limit() {
    let small = Options {
        limits: Limits {
            max_length: 30,
            max_nesting: 4,
            max_height: 5,
            are_flags: true,
        },
        ..Options::default()
    };
    for (text, position, limit) in [
        (
            "a + b + c + d + eeeeeeeeeeeeeeeee",
            "1:31",
            "33 bytes, and the limit is 30 (--query.max-length)",
        ),
        (
            "((((a))))",
            "1:5",
            "5 levels or more, and the limit is 4 (--query.max-nesting)",
        ),
        (
            "a+b+c+d+e+f+g",
            "1:12",
            "the limit is 5 (--query.max-operators)",
        ),
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
    let tree = parse_highest(&text).unwrap();
    let start = Instant::now();
    let lines = pretty(&tree).lines().count();
    assert!(lines > 900);
    assert!(start.elapsed() < Duration::from_secs(10));
}
