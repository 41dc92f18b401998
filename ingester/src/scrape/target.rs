//! Targets: what becomes of what was discovered, and when each is scraped.

use std::hash::Hasher as _;

use model::relabel::{RelabelRule, relabel};
use model::time::DurationMs;
use model::{Labels, LabelsBuilder};
use reqwest::Url;

use crate::config::{Job, check_address};
use crate::discovery::ADDRESS;
use crate::exposition::protobuf::HistogramForms;

const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const NATIVE: &str = "__scrape_native_histograms__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const CONVERTS_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";

/// What is scraped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// As discovered, with the defaults of its job: before relabelling.
    pub(super) discovered: Labels,
    /// The labels of its series.
    pub(super) labels: Labels,
    pub(super) url: Url,
    pub(super) interval_ms: i64,
    pub(super) timeout_ms: i64,
    pub(super) histograms: Histograms,
}

/// What is taken of histograms: as the job says, unless labels of the target say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Histograms {
    pub(super) forms: HistogramForms,
    /// Classic ones become native ones, whose buckets have the same bounds.
    pub(super) converts_classic: bool,
}

/// What became of a discovered label set.
#[derive(Debug, PartialEq)]
pub(super) enum Populated {
    /// It is scraped.
    Active(Box<Target>),
    /// Relabelling dropped it; as it was before.
    Dropped(Labels),
    /// It cannot be scraped.
    Invalid(String),
}

/// Makes a target of the labels that were discovered, with the defaults of the job.
pub(super) fn populate(discovered: &Labels, job: &Job, rules: &[RelabelRule]) -> Populated {
    let mut builder = LabelsBuilder::from_labels(discovered);
    let interval = DurationMs(job.interval_ms).to_string();
    let timeout = DurationMs(job.timeout_ms).to_string();
    let text = |on| if on { "true" } else { "false" };
    let defaults = [
        ("job", job.name.as_str()),
        (INTERVAL, &interval),
        (TIMEOUT, &timeout),
        (METRICS_PATH, &job.metrics_path),
        (SCHEME, &job.scheme),
        (NATIVE, text(job.shared.native_histograms)),
        (ALWAYS_CLASSIC, text(job.shared.always_classic)),
        (CONVERTS_CLASSIC, text(job.shared.converts_classic)),
    ];
    for (name, value) in defaults {
        if builder.get(name).is_none() {
            builder.set(name, value);
        }
    }
    for (name, values) in &job.params {
        let label = format!("{PARAM_PREFIX}{name}");
        if let Some(first) = values.first().filter(|_| builder.get(&label).is_none()) {
            builder.set(&label, first);
        }
    }
    let before = builder.labels();
    if !relabel(rules, &mut builder) || builder.is_empty() {
        return Populated::Dropped(before);
    }
    match target(before, &mut builder, job) {
        Ok(target) => Populated::Active(Box::new(target)),
        Err(reason) => Populated::Invalid(reason),
    }
}

fn target(discovered: Labels, builder: &mut LabelsBuilder, job: &Job) -> Result<Target, String> {
    let address = builder.get(ADDRESS).ok_or("no address")?.to_owned();
    check_address(&address)?;
    let (interval_ms, timeout_ms) = timing(builder)?;
    let histograms = histograms(builder, job)?;
    let url = url(builder, &address, job)?;
    if builder.get("instance").is_none() {
        builder.set("instance", &address);
    }
    if job.lookout {
        for (name, value) in [("app", job.name.as_str()), ("ip", &address)] {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
    }
    builder.retain(|name, _| !name.starts_with(META_PREFIX) && !name.starts_with(RESERVED_PREFIX));
    Ok(Target {
        discovered,
        labels: builder.labels(),
        url,
        interval_ms,
        timeout_ms,
        histograms,
    })
}

impl Histograms {
    /// As the job says.
    pub(super) const fn of_job(job: &Job) -> Self {
        Self {
            forms: HistogramForms {
                native: job.shared.native_histograms,
                always_classic: job.shared.always_classic,
            },
            converts_classic: job.shared.converts_classic,
        }
    }
}

fn histograms(builder: &LabelsBuilder, job: &Job) -> Result<Histograms, String> {
    let parse = |label: &str, of_job: bool| match builder.get(label) {
        None => Ok(of_job),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some(other) => Err(format!("{label} is {other:?}; it is true or false")),
    };
    let of_job = Histograms::of_job(job);
    Ok(Histograms {
        forms: HistogramForms {
            native: parse(NATIVE, of_job.forms.native)?,
            always_classic: parse(ALWAYS_CLASSIC, of_job.forms.always_classic)?,
        },
        converts_classic: parse(CONVERTS_CLASSIC, of_job.converts_classic)?,
    })
}

fn timing(builder: &LabelsBuilder) -> Result<(i64, i64), String> {
    let parse = |label: &str, what: &str| {
        let text = builder.get(label).unwrap_or_default();
        let duration = text.parse::<DurationMs>();
        match duration.map_err(|e| format!("error parsing scrape {what}: {e}"))? {
            DurationMs(0) => Err(format!("scrape {what} cannot be 0")),
            DurationMs(ms) => Ok((ms, text.to_owned())),
        }
    };
    let (interval_ms, interval) = parse(INTERVAL, "interval")?;
    let (timeout_ms, timeout) = parse(TIMEOUT, "timeout")?;
    if timeout_ms > interval_ms {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"
        ));
    }
    Ok((interval_ms, timeout_ms))
}

fn url(builder: &LabelsBuilder, address: &str, job: &Job) -> Result<Url, String> {
    let scheme = builder.get(SCHEME).unwrap_or_default();
    let path = builder.get(METRICS_PATH).unwrap_or_default();
    let mut url = Url::parse(&format!("{scheme}://{address}"))
        .map_err(|e| format!("{address:?} is not a valid address: {e}"))?;
    // A path is not escaped yet: whatever is in it stays in it.
    url.set_path(&path.replace('%', "%25"));
    // Labels override the first value of each parameter.
    let mut params: Vec<(String, Vec<String>)> = job.params.clone();
    for (name, value) in builder.iter() {
        let Some(param) = name.strip_prefix(PARAM_PREFIX) else {
            continue;
        };
        match params.iter_mut().find(|(name, _)| name == param) {
            Some((_, values)) if !values.is_empty() => value.clone_into(&mut values[0]),
            Some((_, values)) => values.push(value.to_owned()),
            None => params.push((param.to_owned(), vec![value.to_owned()])),
        }
    }
    params.sort();
    let pairs = params
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(pairs).finish();
    if !query.is_empty() {
        url.set_query(Some(&query));
    }
    Ok(url)
}

impl Target {
    /// What tells it from others: its labels and its URL.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.write(format!("{:016}", self.labels.stable_hash()).as_bytes());
        hash.write(self.url.as_str().as_bytes());
        hash.finish()
    }

    /// How long from `now_ms` to its first scrape, in milliseconds: its place within the interval
    /// follows from what it is, so that targets are spread and keep their place.
    pub(super) fn offset_ms(&self, now_ms: i64, seed: u64) -> i64 {
        // In nanoseconds, so that places are as Prometheus has them.
        const NANOS: i128 = 1_000_000;
        let interval = i128::from(self.interval_ms.max(1)) * NANOS;
        let base = interval - (i128::from(now_ms) * NANOS).rem_euclid(interval);
        let offset = i128::from(self.hash() ^ seed) % interval;
        let next = base + offset;
        let next = if next > interval {
            next - interval
        } else {
            next
        };
        (next / NANOS) as i64
    }
}

/// What tells this scraper's places within intervals from those of its replicas.
pub(super) fn offset_seed(hostname: &str, external_labels: &Labels) -> u64 {
    let mut hash = Fnv::new();
    hash.write(format!("{hostname}{external_labels}").as_bytes());
    hash.finish()
}

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::relabel::RelabelRule;

    use super::*;
    use crate::config::Config;

    fn populated(lines: &str, discovered: &[(&str, &str)]) -> Populated {
        let text = format!("scrape_configs:\n- job_name: j\n{lines}");
        let config = Config::parse(&text, Path::new("/")).expect(lines);
        let job = &config.jobs[0];
        let rules: Result<Vec<RelabelRule>, _> = (job.relabel.iter())
            .map(|rule| rule.compile(job.shared.name_scheme))
            .collect();
        populate(
            &Labels::from_pairs(discovered.iter().copied()),
            job,
            &rules.expect(lines),
        )
    }

    fn active(lines: &str, discovered: &[(&str, &str)]) -> Target {
        match populated(lines, discovered) {
            Populated::Active(target) => *target,
            other => panic!("{lines}: {other:?}"),
        }
    }

    #[test]
    fn defaults_and_meta_labels() {
        let target = active(
            "",
            &[("__address__", "h:1"), ("__meta_x", "y"), ("env", "prod")],
        );
        assert_eq!(target.url.as_str(), "http://h:1/metrics");
        assert_eq!(
            target.labels,
            Labels::from_pairs([("env", "prod"), ("instance", "h:1"), ("job", "j")])
        );
        assert_eq!(
            target.discovered.to_string(),
            r#"{__address__="h:1", __always_scrape_classic_histograms__="false", __convert_classic_histograms_to_nhcb__="false", __meta_x="y", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_native_histograms__="false", __scrape_timeout__="10s", env="prod", job="j"}"#
        );
        assert_eq!((target.interval_ms, target.timeout_ms), (60_000, 10_000));
    }

    #[test]
    fn lookouts_labels_are_added_where_there_are_none() {
        let target = active(
            "  lookout_compatible: true\n",
            &[("__address__", "h:1"), ("ip", "10.0.0.1")],
        );
        assert_eq!(
            target.labels,
            Labels::from_pairs([
                ("app", "j"),
                ("instance", "h:1"),
                ("ip", "10.0.0.1"),
                ("job", "j")
            ])
        );
    }

    #[test]
    fn relabelling_rewrites_all_of_it() {
        let lines = concat!(
            "  params: {module: [a, b]}\n  metrics_path: probe\n  relabel_configs:\n",
            "  - {source_labels: [__address__], target_label: __param_target}\n",
            "  - {target_label: __address__, replacement: 'exporter:9115'}\n",
            "  - {target_label: __scheme__, replacement: https}\n",
            "  - {target_label: __scrape_interval__, replacement: 20s}\n",
            "  - {target_label: instance, replacement: mine}\n",
        );
        let target = active(lines, &[("__address__", "h:1")]);
        assert_eq!(
            target.url.as_str(),
            "https://exporter:9115/probe?module=a&module=b&target=h%3A1"
        );
        assert_eq!(
            target.labels,
            Labels::from_pairs([("instance", "mine"), ("job", "j")])
        );
        assert_eq!(target.interval_ms, 20_000);
    }

    #[test]
    fn a_path_is_a_path() {
        for (path, url) in [
            ("probe", "http://h:1/probe"),
            ("/a/b", "http://h:1/a/b"),
            ("/a?b=c#d", "http://h:1/a%3Fb=c%23d"),
            ("/50%25", "http://h:1/50%2525"),
        ] {
            let target = active(
                &format!("  metrics_path: '{path}'\n"),
                &[("__address__", "h:1")],
            );
            assert_eq!(target.url.as_str(), url);
        }
    }

    #[test]
    fn what_cannot_be_scraped_says_why() {
        let check = |lines: &str, discovered: &[(&str, &str)], expected: &str| {
            assert_eq!(
                populated(lines, discovered),
                Populated::Invalid(expected.to_owned()),
                "{lines}"
            );
        };
        check("", &[("x", "y")], "no address");
        check(
            "",
            &[("__address__", "a/b")],
            "\"a/b\" is not a valid hostname",
        );
        let of = |name, value| [("__address__", "h"), (name, value)];
        check(
            "",
            &of("__scrape_interval__", "x"),
            "error parsing scrape interval: not a valid duration string: \"x\"",
        );
        check(
            "",
            &of("__scrape_timeout__", "0"),
            "scrape timeout cannot be 0",
        );
        check(
            "",
            &of("__scrape_timeout__", "2m"),
            "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
        );
        check(
            "",
            &of("__scrape_native_histograms__", "x"),
            "__scrape_native_histograms__ is \"x\"; it is true or false",
        );
        let drop = "  relabel_configs: [{action: drop, source_labels: [a], regex: b}]\n";
        assert!(matches!(
            populated(drop, &[("__address__", "h"), ("a", "b")]),
            Populated::Dropped(labels) if labels.get("__scheme__") == Some("http")
        ));
    }

    #[test]
    fn labels_say_which_histograms_are_taken() {
        let of = |lines: &str, label: &str, value: &str| {
            active(lines, &[("__address__", "h"), (label, value)]).histograms
        };
        let native = "  scrape_native_histograms: true\n";
        assert!(!of(native, NATIVE, "f").forms.native);
        assert!(of("", NATIVE, "1").forms.native);
        assert!(of("", ALWAYS_CLASSIC, "True").forms.always_classic);
        assert!(of("", CONVERTS_CLASSIC, "true").converts_classic);
        assert!(!of("", "other", "true").converts_classic);
    }

    #[test]
    fn places_within_the_interval_are_kept() {
        let target = active("", &[("__address__", "h:1")]);
        let first = target.offset_ms(1_000_000_000, 7);
        assert!((0..=60_000).contains(&first));
        let later = target.offset_ms(1_000_010_000, 7);
        assert_eq!((first - later).rem_euclid(60_000), 10_000);
        let places: std::collections::HashSet<i64> = (0..100)
            .map(|i| {
                let address = format!("h:{i}");
                active("", &[("__address__", &address)]).offset_ms(0, 7) / 6000
            })
            .collect();
        assert!(places.len() >= 9, "spread over the interval: {places:?}");
    }
}
