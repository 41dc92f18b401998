//! Rewrites of a plan that keep its meaning, each in a file of its own.

mod eliminate_sorts;
mod fold_constants;
mod narrow_time;
mod project_labels;
mod propagate_matchers;
mod share_selectors;

use super::walk::Rewrite;
use super::{Plan, PlanContext};

/// Applies all optimizers.
pub(crate) fn all(plan: Plan, context: PlanContext) -> Plan {
    each(plan, context, |_, _| {})
}

/// Applies all optimizers, and shows what each makes of the plan, after its name.
pub(crate) fn each(
    mut plan: Plan,
    context: PlanContext,
    mut show: impl FnMut(&'static str, &Plan),
) -> Plan {
    let rewrites: [(_, &mut dyn Rewrite); 4] = [
        ("fold constants", &mut fold_constants::FoldConstants),
        (
            "eliminate sorts",
            &mut eliminate_sorts::EliminateSorts::new(context.is_instant),
        ),
        (
            "propagate matchers",
            &mut propagate_matchers::PropagateMatchers,
        ),
        ("project labels", &mut project_labels::ProjectLabels),
    ];
    for (name, optimizer) in rewrites {
        plan.rewrite(optimizer);
        show(name, &plan);
    }
    let narrow_time = narrow_time::NarrowTime {
        lookback_ms: context.lookback_ms,
    };
    narrow_time.apply(&mut plan, context.steps);
    show("narrow time", &plan);
    // Last, since it compares selectors as they will be read.
    share_selectors::ShareSelectors::apply(&mut plan);
    show("share selectors", &plan);
    plan
}

#[cfg(test)]
mod tests {
    use crate::columns::Steps;
    use crate::parse::{Options, parse_expr};
    use crate::plan::{PlanContext, explain};

    /// The optimized plan of an instant query.
    fn optimized(query: &str) -> String {
        let expr = parse_expr(query, Options::all_features()).unwrap();
        let context = PlanContext {
            steps: Steps::instant(0),
            end: 0,
            lookback_ms: 300_000,
            is_instant: true,
            default_step_ms: 60_000,
            start_timestamps: false,
        };
        let text = explain(&expr, context).unwrap();
        let (_, optimized) = text.split_once("optimized\n").unwrap();
        optimized.trim_end().to_owned()
    }

    /// The same without the times that selectors look at.
    fn timeless(query: &str) -> String {
        let lines = optimized(query);
        let lines = lines.lines().map(|line| match line.split_once(" in [") {
            Some((before, _)) => before,
            None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn check(query: &str, expected: &str) {
        assert_eq!(timeless(query), expected, "{query}");
    }

    #[test]
    fn every_stage_that_changes_something_is_explained() {
        let query = "sum by (x) (a) + on (x) b{x=\"1\"} * (1 + 1)";
        let expr = parse_expr(query, Options::all_features()).unwrap();
        let context = PlanContext {
            steps: Steps::range(0, 60_000, 15_000),
            end: 60_000,
            lookback_ms: 300_000,
            is_instant: false,
            default_step_ms: 60_000,
            start_timestamps: false,
        };
        let text = explain(&expr, context).unwrap();
        let headings: Vec<_> = text.lines().filter(|l| !l.starts_with(' ')).collect();
        let expected = [
            "expression",
            "plan",
            "fold constants",
            "eliminate sorts: no change",
            "propagate matchers",
            "project labels",
            "narrow time",
            "share selectors: no change",
            "optimized",
        ];
        assert_eq!(headings, expected, "{text}");
        assert!(text.starts_with("expression\n  sum by (x) (a) +"), "{text}");
    }

    #[test]
    fn constants_are_folded() {
        check("1 + 2 * 3 > bool -(4 ^ 2)", "  number 1");
        check("vector(max_of(1, 2))", "  once\n    vector\n      number 2");
    }

    #[test]
    fn matchers_reach_the_other_side_of_a_join() {
        check(
            r#"a{x="1",y="2"} * on (x) b{z="3"}"#,
            concat!(
                "  join * on (x) one-to-one\n",
                "    latest {x=\"1\",y=\"2\",__name__=\"a\"}\n",
                "    latest {z=\"3\",__name__=\"b\",x=\"1\"}",
            ),
        );
        check(
            r#"rate(a{x="1"}[5m]) and ignoring (y) b{y="2"}"#,
            concat!(
                "  join and ignoring (y) many-to-many\n",
                "    range function Rate\n",
                "      samples {x=\"1\",__name__=\"a\"} over 300000 ms\n",
                "    latest {y=\"2\",__name__=\"b\",x=\"1\"}",
            ),
        );
        // Nothing is known of series that are filled in, joined by `or`, or have other labels.
        for query in [
            r#"a{x="1"} + fill(0) b"#,
            r#"a{x="1"} or b"#,
            r#"label_replace(a{x="1"}, "x", "2", "", "") + b"#,
        ] {
            assert!(
                optimized(query).contains("latest {__name__=\"b\"}"),
                "{query}"
            );
        }
        let unless = optimized(r#"a unless b{x="1"}"#);
        assert!(unless.contains("latest {__name__=\"a\"}"), "{unless}");
    }

    #[test]
    fn matchers_go_through_what_keeps_their_label() {
        let carried = |query: &str| optimized(query).matches("x=\"1\"").count();
        for query in [
            r#"sum by (x) (rate(a{x="1"}[5m])) / sum by (x) (rate(b[5m]))"#,
            r#"sum by (x) (a) / sum by (x, y) (b{x="1"})"#,
            r#"max without (y) (a{x="1"}) + ignoring (z) min without (z) (b)"#,
            r#"topk(1, a{x="1"}) * on (x) b"#,
            r#"b * on (x) topk by (x) (1, a{x="1"})"#,
            r#"sum by (x) (a) and on (x) topk(1, b{x="1"})"#,
            r#"sum by (x) (a{x="1"}) unless on (x) (-b > 2)"#,
            r#"label_replace(a{x="1"}, "y", "2", "", "") + max_over_time(sum by (x) (b)[5m:1m])"#,
            r#"histogram_quantile(0.9, sum by (le, x) (a{x="1"})) > b"#,
            r#"b > histogram_quantiles(sum by (le, x) (a{x="1"}), "q", 0.5, 0.9)"#,
            r#"count_values by (x) ("y", a{x="1"}) + on (x) b"#,
        ] {
            assert_eq!(carried(query), 2, "{query}\n{}", optimized(query));
        }
        let both = r#"(a - on (x) b) / on (x) sum by (x) (c{x="1"})"#;
        assert_eq!(carried(both), 3, "{}", optimized(both));
        let unless = r#"(a unless on (x) b) and on (x) c{x="1"}"#;
        assert_eq!(carried(unless), 3, "{}", optimized(unless));
        // There the label is another one, or a series that is taken away would change the others.
        for query in [
            r#"sum by (y) (a{x="1"}) / sum by (y) (b)"#,
            r#"a{x="1"} * on (x) topk(1, b)"#,
            r#"a{x="1"} * on (x) sum without (x) (b)"#,
            r#"a{x="1"} + on (x) count_values by (x) ("x", b)"#,
            r#"a{x="1"} + on (x) label_replace(b, "x", "2", "", "")"#,
            r#"a{x="1"} + on (x) absent(b)"#,
            r#"a{x="1"} + on (x) (b or c)"#,
            r#"a{x="1"} + on (x) (b + fill (0) c)"#,
            r#"sum by (x) (a) unless on (x) b{x="1"}"#,
            r#"a{x="1"} + on (y) sum by (x, y) (b)"#,
            r#"(a + on (y) b) * on (x) c{x="1"}"#,
        ] {
            assert_eq!(carried(query), 1, "{query}\n{}", optimized(query));
        }
    }

    #[test]
    fn aggregations_say_which_labels_they_look_at() {
        check(
            "sum by (job) (rate(a[5m]))",
            concat!(
                "  sum by (job)\n",
                "    range function Rate\n",
                "      samples {__name__=\"a\"} labels (__name__,__type__,__unit__,job) over 300000 ms",
            ),
        );
        assert!(!optimized("sum without (job) (a)").contains("labels ("));
        assert!(!optimized("topk by (job) (1, a)").contains("labels ("));
    }

    #[test]
    fn sorts_that_nobody_sees_are_gone() {
        for query in [
            "count(sort_by_label(a, \"x\"))",
            "absent(sort_by_label(a, \"x\"))",
        ] {
            assert!(!optimized(query).contains("sort"), "{query}");
        }
        // Sorting by value drops histograms, and the order shows in sums and results.
        for query in [
            "count(sort(a))",
            "sum(sort_by_label(a, \"x\"))",
            "sort_by_label(a, \"x\")",
        ] {
            assert!(optimized(query).contains("sort"), "{query}");
        }
    }

    #[test]
    fn selectors_ask_for_the_time_they_look_at() {
        for (query, range) in [
            ("a", "[-299999, 1)"),
            ("a offset 1m", "[-359999, -59999)"),
            ("a @ 100", "[-199999, 100001)"),
            ("rate(a[1m])", "[-59999, 1)"),
            ("increase(a[1m] anchored)", "[-359999, 1)"),
            ("rate(a[1m] smoothed)", "[-359999, 300001)"),
            ("max_over_time(rate(a[1m])[10m:7s])", "[-654999, 1)"),
            ("sum_over_time(a[10m:7s] @ 1000)", "[106001, 994001)"),
        ] {
            let plan = optimized(query);
            assert!(plan.contains(&format!(" in {range}")), "{query}: {plan}");
        }
    }

    #[test]
    fn selectors_of_the_same_series_are_read_once() {
        check(
            r#"sum by (job) (rate(a{code="5"}[5m])) / sum by (job) (rate(a[5m]))"#,
            concat!(
                "  join / ignoring () one-to-one\n",
                "    sum by (job)\n",
                "      range function Rate\n",
                "        samples {__name__=\"a\"} labels (__name__,__type__,__unit__,code,job) shared #0 {code=\"5\"} over 300000 ms\n",
                "    sum by (job)\n",
                "      range function Rate\n",
                "        samples {__name__=\"a\"} labels (__name__,__type__,__unit__,code,job) shared #0 over 300000 ms",
            ),
        );
        // One without a projection needs all labels.
        let plan = timeless("sum(a) + on () sum without (x) (a)");
        assert!(
            !plan.contains("labels (") && plan.contains("shared #0"),
            "{plan}"
        );
        // Other times, and functions that downsampled data answer otherwise, are read apart.
        for query in [
            "a - a offset 1m",
            "rate(a[5m]) / increase(a[5m])",
            "rate(a[5m]) / rate(a[10m])",
            r#"a{x="1"} or a{y="1"}"#,
            "sum(a) - max(a)",
        ] {
            assert!(!optimized(query).contains("shared"), "{query}");
        }
    }
}
