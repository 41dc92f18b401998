//! Random series: a script of `load` commands.
//!
//! Counters with resets, gauges with NaN, infinities and stale markers, native histograms of several
//! layouts, series that change between floats and histograms, classic histograms, start timestamps
//! and info metrics; with gaps, on and off the grid of steps.

use std::fmt::Write as _;

use super::choices::Choices;

/// Samples lie between 0 and about this time, in milliseconds.
pub const SPAN_MS: i64 = 20 * 60 * 1000;

/// Every how many samples of a series a gap begins, about.
const GAP_EVERY: usize = 12;

/// The text of `load` commands.
pub fn load_script(choices: &mut dyn Choices) -> String {
    let mut text = String::from("load 30s\n");
    for (job, instances) in [("a", 3), ("b", 2)] {
        for instance in 0..instances {
            let labels = format!("{{job=\"{job}\", instance=\"{instance}\"}}");
            line(
                &mut text,
                &format!("c{labels}"),
                choices,
                Counter::default(),
            );
            line(&mut text, &format!("g{labels}"), choices, Gauge);
            line(
                &mut text,
                &format!("h{labels}"),
                choices,
                Exponential::default(),
            );
        }
        of_job(&mut text, job, choices);
    }
    text += "\nload 17s\n";
    for zone in ["", "x", "y"] {
        let series = format!("irr{{job=\"a\", zone=\"{zone}\"}}");
        line(&mut text, &series, choices, Counter::default());
    }
    line(
        &mut text,
        "hc{job=\"a\", instance=\"1\"}",
        choices,
        Custom::default(),
    );
    line(&mut text, "g{job=\"b\", instance=\"7\"}", choices, Gauge);
    text
}

/// The series of which a job has one.
fn of_job(text: &mut String, job: &str, choices: &mut dyn Choices) {
    // Prometheus finds `@st` before the first space.
    let labels = format!("{{job=\"{job}\",instance=\"0\"}}");
    line(text, &format!("hg{labels}"), choices, GaugeHistogram);
    line(text, &format!("hc{labels}"), choices, Custom::default());
    line(text, &format!("mix{labels}"), choices, Mixed::default());
    let version = choices.below(3);
    let labels_of_info = format!("{{job=\"{job}\", instance=\"0\", version=\"{version}\"}}");
    line(text, &format!("target_info{labels_of_info}"), choices, One);
    line(text, &format!("build_info{labels_of_info}"), choices, One);
    classic(text, job, choices);
    started(
        text,
        &format!("st{labels}"),
        choices,
        &mut Counter::default(),
    );
    started(
        text,
        &format!("sth{labels}"),
        choices,
        &mut Exponential::default(),
    );
}

/// Makes the values of a series one by one.
trait Values {
    fn next(&mut self, choices: &mut dyn Choices) -> String;
}

/// Appends a series with gaps that spans [`SPAN_MS`] at the interval of the last `load`.
fn line(text: &mut String, series: &str, choices: &mut dyn Choices, mut values: impl Values) {
    let count = if text.contains("load 17s") { 70 } else { 40 };
    let _ = write!(text, "  {series}");
    let mut gap = 0;
    for _ in 0..count {
        if choices.below(GAP_EVERY) == 1 {
            gap = 1 + choices.below(14) * choices.below(2);
        }
        if gap > 0 {
            gap -= 1;
            text.push_str(" _");
        } else if choices.below(25) == 1 {
            text.push_str(" stale");
        } else {
            text.push(' ');
            text.push_str(&values.next(choices));
        }
    }
    text.push('\n');
}

/// A series without gaps, preceded by the start timestamps of its samples.
fn started(text: &mut String, series: &str, choices: &mut dyn Choices, values: &mut dyn Values) {
    let (mut starts, mut samples) = (String::new(), String::new());
    let mut start = -10_i64;
    for i in 0..40_i64 {
        if choices.below(8) == 1 {
            start = i * 30 - choices.below(35) as i64;
        }
        if choices.below(10) == 1 {
            starts.push_str(" _");
        } else {
            let _ = write!(starts, " {}s", start - i * 30);
        }
        samples.push(' ');
        samples.push_str(&values.next(choices));
    }
    let _ = writeln!(text, "  {series}@st{starts}\n  {series}{samples}");
}

/// A classic histogram, of which a bucket may lag behind.
fn classic(text: &mut String, job: &str, choices: &mut dyn Choices) {
    let mut totals = [0; 4];
    let mut lines = [const { String::new() }; 4];
    for _ in 0..40 {
        let mut below = 0;
        for (total, line) in totals.iter_mut().zip(&mut lines) {
            below += choices.below(10);
            *total += below;
            if choices.below(30) == 1 {
                line.push_str(" _");
            } else {
                let _ = write!(line, " {total}");
            }
        }
    }
    for (le, line) in ["0.1", "1", "10", "+Inf"].iter().zip(&lines) {
        let _ = writeln!(text, "  b_bucket{{job=\"{job}\", le=\"{le}\"}}{line}");
    }
}

#[derive(Default)]
struct Counter(f64);

impl Values for Counter {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        match choices.below(14) {
            1 => self.0 = choices.below(10) as f64,
            2 => {}
            3 => self.0 += 1e9 + 0.1,
            n => self.0 += n as f64 * 1.7,
        }
        self.0.to_string()
    }
}

struct Gauge;

impl Values for Gauge {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        const ODD: [&str; 8] = ["NaN", "Inf", "-Inf", "0", "-0", "1e308", "-1e308", "5e-324"];
        if choices.below(16) == 1 {
            return ODD[choices.below(ODD.len())].to_owned();
        }
        let whole = choices.below(200) as f64 - 100.0;
        (whole + choices.below(10) as f64 * 0.1).to_string()
    }
}

struct One;

impl Values for One {
    fn next(&mut self, _: &mut dyn Choices) -> String {
        "1".to_owned()
    }
}

/// Buckets that only grow, until they begin anew or change their layout.
#[derive(Default)]
struct Exponential {
    counts: [usize; 5],
    sum: f64,
    schema: usize,
}

impl Values for Exponential {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        match choices.below(18) {
            1 => {
                *self = Self {
                    schema: self.schema,
                    ..Self::default()
                }
            }
            2 => self.schema = choices.below(3),
            _ => {}
        }
        for count in &mut self.counts {
            *count += choices.below(5);
        }
        self.sum += choices.below(50) as f64 * 0.7;
        let [zero, a, b, c, negative] = self.counts;
        let total: usize = self.counts.iter().sum();
        format!(
            "{{{{schema:{} sum:{} count:{total} z_bucket:{zero} z_bucket_w:0.001 offset:{} buckets:[{a} {b} {c}] n_buckets:[{negative}]}}}}",
            self.schema,
            self.sum,
            self.schema as i64 - 1,
        )
    }
}

struct GaugeHistogram;

impl Values for GaugeHistogram {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        let mut histogram = Exponential::default().next(choices);
        histogram.truncate(histogram.len() - 2);
        histogram + " counter_reset_hint:gauge}}"
    }
}

#[derive(Default)]
struct Custom {
    counts: [usize; 3],
    layout: usize,
}

impl Values for Custom {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        const LAYOUTS: [&str; 3] = ["1 5", "1 5 10", "0.5 5"];
        match choices.below(18) {
            1 => self.counts = [0; 3],
            2 => self.layout = choices.below(3),
            _ => {}
        }
        for count in &mut self.counts {
            *count += choices.below(6);
        }
        let [a, b, c] = self.counts;
        format!(
            "{{{{schema:-53 sum:{} count:{} custom_values:[{}] buckets:[{a} {b} {c}]}}}}",
            a + 3 * b + 7 * c,
            a + b + c,
            LAYOUTS[self.layout],
        )
    }
}

#[derive(Default)]
struct Mixed {
    is_histogram: bool,
    counter: Counter,
    histogram: Exponential,
}

impl Values for Mixed {
    fn next(&mut self, choices: &mut dyn Choices) -> String {
        self.is_histogram ^= choices.below(6) == 1;
        if self.is_histogram {
            self.histogram.next(choices)
        } else {
            self.counter.next(choices)
        }
    }
}
