//! `check metrics`: how well metrics are named and explained.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use ingester::exposition::{Entry, Format, MetricType, Parser};

use super::lint::{Family, problems};

/// Exit code of metrics that could be better, as `promtool` has it.
const LINT_CODE: u8 = 3;
/// Bytes of metrics that are read.
const INPUT_BYTES_MAX: u64 = 1 << 30;

pub(super) fn run(input: &mut dyn BufRead, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    let mut input = std::io::Read::take(input, INPUT_BYTES_MAX + 1);
    std::io::Read::read_to_end(&mut input, &mut text).context("read standard input")?;
    anyhow::ensure!(
        text.len() as u64 <= INPUT_BYTES_MAX,
        "there are more than {INPUT_BYTES_MAX} bytes of metrics"
    );
    let families = families(&text).context("the metrics cannot be read")?;
    let mut found = 0;
    for (name, family) in &families {
        for problem in problems(name, family) {
            writeln!(out, "{name} {problem}")?;
            found += 1;
        }
    }
    Ok(match found {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(LINT_CODE),
    })
}

/// The families of an exposition, by name.
fn families(text: &[u8]) -> anyhow::Result<BTreeMap<String, Family>> {
    let is_open_metrics = text.trim_ascii_end().ends_with(b"# EOF");
    let format = match is_open_metrics {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut parser = Parser::new(text, format);
    while let Some(entry) = parser.next_entry()? {
        match entry {
            Entry::Type(name, kind) => {
                let name = name.unescape().into_owned();
                families.entry(name).or_default().kind = Some(kind);
            }
            Entry::Help(name, text) => {
                let name = name.unescape().into_owned();
                families.entry(name).or_default().has_help |= !text.raw().is_empty();
            }
            Entry::Unit(..) => {}
            Entry::Sample(sample) => {
                let series = sample.series.name.unescape().into_owned();
                let name = family_of(&families, &series, is_open_metrics).to_owned();
                let labels = sample.series.labels.iter();
                let labels: BTreeSet<_> = labels.map(|l| l.name.unescape().into_owned()).collect();
                families.entry(name).or_default().labels.extend(labels);
            }
        }
    }
    if is_open_metrics {
        // The family of a counter is named without the suffix of its samples there.
        let named = |(name, family): (String, Family)| match family.kind {
            Some(MetricType::Counter) => (format!("{name}_total"), family),
            _ => (name, family),
        };
        families = families.into_iter().map(named).collect();
    }
    Ok(families)
}

/// The family that a series belongs to.
fn family_of<'a>(
    families: &BTreeMap<String, Family>,
    series: &'a str,
    is_open_metrics: bool,
) -> &'a str {
    let suffixes: [(&str, &[MetricType]); 4] = [
        (
            "_bucket",
            &[MetricType::Histogram, MetricType::GaugeHistogram],
        ),
        ("_count", &[MetricType::Histogram, MetricType::Summary]),
        ("_sum", &[MetricType::Histogram, MetricType::Summary]),
        ("_total", &[MetricType::Counter]),
    ];
    let suffixes = suffixes
        .iter()
        .filter(|(s, _)| is_open_metrics || *s != "_total");
    for (suffix, kinds) in suffixes {
        if let Some(name) = series.strip_suffix(suffix)
            && let Some(kind) = families.get(name).and_then(|family| family.kind)
            && kinds.contains(&kind)
        {
            return name;
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (Vec<String>, bool) {
        let mut out = Vec::new();
        let code = run(&mut text.as_bytes(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines = out.lines().map(str::to_owned).collect();
        (lines, code == ExitCode::SUCCESS)
    }

    #[test]
    fn good_metrics_pass() {
        let text = "# HELP x_seconds Time.\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{le=\"1\"} 1\nx_seconds_bucket{le=\"+Inf\"} 1\n\
            x_seconds_count 1\nx_seconds_sum 1\n\
            # HELP y_total Things.\n# TYPE y_total counter\ny_total 1\n";
        assert_eq!(check(text), (Vec::new(), true));
        let open = "# HELP y Things.\n# TYPE y counter\ny_total 1\n# EOF\n";
        let (lines, _) = check(open);
        assert_eq!(lines, Vec::<String>::new());
    }

    #[test]
    fn what_could_be_better_is_named() {
        let text = "# TYPE myThing counter\nmyThing 1\n\
            # HELP a_milliseconds Time.\n# TYPE a_milliseconds gauge\na_milliseconds{le=\"1\"} 1\n\
            b_total 1\n";
        let (lines, is_fine) = check(text);
        assert!(!is_fine);
        assert_eq!(
            lines,
            [
                "a_milliseconds non-histogram metrics should not have \"le\" label",
                "a_milliseconds use base unit \"seconds\" instead of \"milliseconds\"",
                "b_total no help text",
                "myThing counter metrics should have \"_total\" suffix",
                "myThing metric names should be written in 'snake_case' not 'camelCase'",
                "myThing no help text",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(run(&mut "a{ 1\n".as_bytes(), &mut Vec::new()).is_err());
    }
}
