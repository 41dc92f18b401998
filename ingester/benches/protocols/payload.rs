//! What clients send: requests of [`POINTS`] points, one each of as many series.

use std::fmt::Write as _;

/// Points of a request.
pub(crate) const POINTS: usize = 2000;
/// Numbers of an event of Metricbeat.
const NUMBERS: usize = 20;

/// Which points: of the series from `first` on, at scrape number `scrape`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which {
    pub(crate) first: usize,
    pub(crate) scrape: usize,
}

impl Which {
    fn seconds(self) -> usize {
        1_795_225_759 + self.scrape * 15
    }

    fn series(self) -> impl Iterator<Item = usize> {
        self.first..self.first + POINTS
    }

    /// The value of a series: some are whole, some have decimals.
    fn value(self, i: usize) -> String {
        let v = i * 977 + self.scrape * (i % 50);
        match i % 3 {
            0 => v.to_string(),
            1 => format!("{}.{:02}", v % 100, i % 97 + 1),
            _ => format!("{v}.5"),
        }
    }
}

/// Points as collectd's: name, time, value and four tags.
pub(crate) fn lines(which: Which) -> String {
    let mut text = String::new();
    for i in which.series() {
        writeln!(
            text,
            "put interface.if_octets.rx {} {} fqdn=node{}.example.org if=eth{} dc=eu1 status=production",
            which.seconds(),
            which.value(i),
            i / 4,
            i % 4
        )
        .expect("writing to a String");
    }
    text
}

/// The same points as JSON.
pub(crate) fn json(which: Which) -> String {
    let points = which.series().map(|i| {
        format!(
            r#"{{"metric":"interface.if_octets.rx","timestamp":{},"value":{},"tags":{{"fqdn":"node{}.example.org","if":"eth{}","dc":"eu1","status":"production"}}}}"#,
            which.seconds(),
            which.value(i),
            i / 4,
            i % 4
        )
    });
    let points: Vec<_> = points.collect();
    format!("[{}]", points.join(","))
}

/// An exposition as a job pushes it.
pub(crate) fn exposition(which: Which) -> String {
    let mut text = String::from("# TYPE rows_copied_total counter\n");
    for i in which.series() {
        let value = which.value(i);
        writeln!(
            text,
            r#"rows_copied_total{{table="t{i}",schema="public",database="orders"}} {value}"#
        )
        .expect("writing to a String");
    }
    text
}

/// The same with the time of each sample, where that of its arrival would be one for all scrapes.
pub(crate) fn timed_exposition(which: Which) -> String {
    let at = format!(" {}000\n", which.seconds());
    let (head, samples) = exposition(which)
        .split_once('\n')
        .map(|(head, samples)| (head.to_owned(), samples.replace('\n', &at)))
        .expect("a line about the type");
    format!("{head}\n{samples}")
}

/// Reports of Lookout's client: timers of services, three values each.
pub(crate) fn records(which: Which) -> String {
    let minute = which.scrape / 4 % 60;
    let second = which.scrape % 4 * 15;
    let records = which.series().step_by(3).map(|i| {
        format!(
            r#"{{"time":"2026-11-21T10:{minute:02}:{second:02}+08:00","tags":{{"app":"order-center","ip":"10.0.{}.7","host":"n7.example.org","_type_":"t","priority":"low","service":"com.example.pay.PayFacade:1.0","method":"pay{i}"}},"rpc.provider.service.stats":{{"elapPerExec":0.0{i},"totalTime":{},"max":1.0E-{}}}}}"#,
            i % 200,
            which.value(i),
            i % 9,
        )
    });
    let records: Vec<_> = records.collect();
    records.join("\t")
}

/// Events of Metricbeat: interfaces of hosts, twenty numbers each.
pub(crate) fn events(which: Which) -> String {
    let mut text = String::new();
    let (minute, second) = (which.scrape / 4 % 60, which.scrape % 4 * 15);
    for i in which.series().step_by(NUMBERS) {
        write!(
            text,
            r#"{{"index":{{"_index":"metricbeat-6.8.23-2026.11.21","_type":"doc"}}}}
{{"@timestamp":"2026-11-21T02:{minute:02}:{second:02}.123Z","metricset":{{"module":"system","name":"network","rtt":115}},"beat":{{"name":"node{i}","hostname":"node{i}.example.org","version":"6.8.23"}},"host":{{"name":"node{i}"}},"system":{{"network":{{"name":"eth{}""#,
            i % 4
        )
        .expect("writing to a String");
        for way in ["in", "out"] {
            write!(text, r#","{way}":{{"bytes":{}"#, which.value(i)).expect("writing to a String");
            for n in 1..NUMBERS / 2 {
                write!(text, r#","packets_{n}":{}"#, which.value(i + n))
                    .expect("writing to a String");
            }
            text.push('}');
        }
        text.push_str("}}}\n");
    }
    text
}
