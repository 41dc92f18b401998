//! The tables of cases.

use model::{MatchOp, Matcher, TimeRange};

use super::data::{START, STEP};

/// A range of time, in steps from the begin of the data.
#[derive(Debug, Clone, Copy)]
pub(super) enum Range {
    /// All of the data, and an hour more.
    All,
    /// From one step, to another that is inside.
    Steps(i64, i64),
    /// All of time.
    Ever,
}

impl Range {
    pub(super) fn resolve(self) -> TimeRange {
        match self {
            Self::All => TimeRange::closed(START - 1_800_000, START + 9_000_000),
            Self::Steps(from, to) => TimeRange::closed(START + from * STEP, START + to * STEP),
            Self::Ever => TimeRange::ALL,
        }
    }
}

/// Matchers from `name=value` with PromQL's operators and no quotes.
pub(super) fn matchers(selector: &[&str]) -> Vec<Matcher> {
    let parse = |text: &&str| {
        let at = text.find(['=', '!']).expect("an operator");
        let (name, rest) = text.split_at(at);
        let ops = [
            ("=~", MatchOp::Regex),
            ("!~", MatchOp::NotRegex),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        let op = ops
            .iter()
            .find_map(|(s, op)| Some((*op, rest.strip_prefix(s)?)));
        let (op, value) = op.expect("an operator");
        Matcher::new(op, name, value).expect("a regular expression")
    };
    selector.iter().map(parse).collect()
}

const ALL: Range = Range::All;

/// Selectors, ranges, and the series that they select.
pub(super) const SERIES: &[(&[&str], Range, &str)] = &[
    // Equality, and what is not there.
    (&["__name__=up"], ALL, "abcde"),
    (&["__name__=up"], Range::Ever, "abcde"),
    (&["__name__=http_requests_total"], ALL, "fgh"),
    (&["__name__=none"], ALL, ""),
    (&["job=api"], ALL, "abfg"),
    (&["job=api", "__name__=up"], ALL, "ab"),
    (&["job=api", "job=web"], ALL, ""),
    (&["none=x"], ALL, ""),
    // The empty value is that of a label that is absent.
    (&["__name__=up", "pod="], ALL, "cde"),
    (&["__name__=up", "none="], ALL, "abcde"),
    (&["__name__=up", "pod!="], ALL, "ab"),
    (&["zone!="], ALL, "dg"),
    // Inequality.
    (&["__name__=up", "job!=api"], ALL, "cde"),
    (&["__name__=up", "pod!=1"], ALL, "bcde"),
    (&["__name__!=up"], ALL, "fgh"),
    (&["__name__!=none"], ALL, "abcdefgh"),
    (&["__name__=up", "none!=x"], ALL, "abcde"),
    // Regular expressions, anchored.
    (&["job=~api|web"], ALL, "abcdfgh"),
    (&["job=~a.*"], ALL, "abfg"),
    (&["job=~.+"], ALL, "abcdefgh"),
    (&["job=~.*"], ALL, "abcdefgh"),
    (&["job=~ap"], ALL, ""),
    (&["job=~"], ALL, ""),
    (&["__name__=up", "pod=~1|"], ALL, "acde"),
    (&["__name__=up", "pod=~.*"], ALL, "abcde"),
    (&["__name__=up", "pod=~.+"], ALL, "ab"),
    (&["__name__=up", "job=~(?i)API"], ALL, "ab"),
    (&["zone=~µ.*"], ALL, "g"),
    (&["zone=µ/\"x\\"], ALL, "g"),
    // And their negations.
    (&["__name__=up", "job!~api|odd"], ALL, "cd"),
    (&["__name__=up", "job!~.*"], ALL, ""),
    (&["__name__=up", "job!~.+"], ALL, ""),
    (&["__name__=up", "job!~"], ALL, "abcde"),
    (&["__name__=up", "pod!~1"], ALL, "bcde"),
    (&["__name__=up", "pod!~.+"], ALL, "cde"),
    (&["__name__=up", "pod!~1|"], ALL, "b"),
    (&["__name__=up", "none!~.+"], ALL, "abcde"),
    (&["code!~2..", "code!="], ALL, "gh"),
    // External labels: decided by their value, and stronger than a series' own.
    (&["__name__=up", "region=eu-west"], ALL, "abcde"),
    (&["__name__=up", "region=~eu-.*"], ALL, "abcde"),
    (&["__name__=up", "region!=us"], ALL, "abcde"),
    (&["__name__=up", "region!="], ALL, "abcde"),
    (&["__name__=up", "region=us"], ALL, ""),
    (&["__name__=up", "region="], ALL, ""),
    (&["__name__=up", "region!~eu.*"], ALL, ""),
    (&["__name__=up", "region!=eu-west"], ALL, ""),
    (
        &["__name__=up", "replica=a", "region=eu-west"],
        ALL,
        "abcde",
    ),
    (&["region=us"], ALL, ""),
    // Time: both ends are inside.
    (&["__name__=~.+"], Range::Steps(-9, -1), ""),
    (&["__name__=~.+"], Range::Steps(-9, 0), "acdefg"),
    (&["__name__=~.+"], Range::Steps(9, 9), "acdef"),
    (&["__name__=~.+"], Range::Steps(130, 250), "acdf"),
    (&["__name__=~.+"], Range::Steps(299, 300), "abcdf"),
    (&["__name__=~.+"], Range::Steps(400, 500), "bh"),
    (&["__name__=~.+"], Range::Steps(409, 409), "bh"),
    (&["__name__=~.+"], Range::Steps(450, 900), ""),
];

/// All names of labels.
pub(super) const ALL_NAMES: &[&str] = &[
    "__name__", "code", "job", "pod", "region", "replica", "zone",
];

/// Selectors, and the names of the labels of what they select.
pub(super) const NAMES: &[(&[&str], &[&str])] = &[
    (&[], ALL_NAMES),
    (
        &["__name__=http_requests_total"],
        &["__name__", "code", "job", "region", "replica", "zone"],
    ),
    (
        &["__name__=up", "job=api"],
        &["__name__", "job", "pod", "region", "replica"],
    ),
    (
        &["__name__=up", "pod=", "zone="],
        &["__name__", "job", "region", "replica"],
    ),
    (
        &["job=api", "region=eu-west"],
        &[
            "__name__", "code", "job", "pod", "region", "replica", "zone",
        ],
    ),
    (&["job=none"], &[]),
    (&["job=api", "region=us"], &[]),
];

/// Labels, selectors, and the values of the label among what they select.
pub(super) const VALUES: &[(&str, &[&str], &[&str])] = &[
    ("__name__", &[], &["http_requests_total", "up"]),
    ("job", &[], &["api", "odd", "web"]),
    ("zone", &[], &["z1", "µ/\"x\\"]),
    ("none", &[], &[]),
    ("job", &["__name__=http_requests_total"], &["api", "web"]),
    ("pod", &["job!=web"], &["1", "2"]),
    ("pod", &["job=web"], &[]),
    (
        "job",
        &["region=eu-west", "__name__=up"],
        &["api", "odd", "web"],
    ),
    ("job", &["region=us"], &[]),
    // External labels, where there is a series that has them.
    ("region", &[], &["eu-west"]),
    ("region", &["job=api"], &["eu-west"]),
    ("region", &["job=none"], &[]),
    ("replica", &["__name__=up", "region=eu-west"], &["a"]),
    ("replica", &["__name__=up", "region=us"], &[]),
];
