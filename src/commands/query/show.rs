//! Answers as lines of text, in the form that `promtool` prints.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Context as _;
use model::Labels;
use model::labels::{METRIC_NAME, is_legacy_metric_name, quote_into};
use serde_json::Value;

/// The result of a query.
pub(super) fn result(data: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let result = data.get("result").context("there is no result")?;
    match data["resultType"].as_str().unwrap_or_default() {
        "vector" => {
            for series in list(result)? {
                let metric = metric(&series["metric"])?;
                writeln!(out, "{metric} => {}", sample(series, "value", "histogram")?)?;
            }
        }
        "matrix" => {
            for series in list(result)? {
                writeln!(out, "{} =>", metric(&series["metric"])?)?;
                for (name, show) in [
                    ("values", float as fn(&Value) -> anyhow::Result<String>),
                    ("histograms", histogram),
                ] {
                    for point in series
                        .get(name)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        writeln!(out, "{}", point_of(point, show)?)?;
                    }
                }
            }
        }
        "scalar" => writeln!(out, "scalar: {}", point_of(result, float)?)?,
        "string" => writeln!(out, "{}", text(&result[1])?)?,
        other => anyhow::bail!("results of type {other:?} are not known"),
    }
    Ok(())
}

/// The steps of a plan, each step's inputs indented below it.
pub(super) fn plan(data: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut steps = vec![(0, data)];
    while let Some((depth, step)) = steps.pop() {
        let name = text(step.get("name").context("a step has no name")?)?;
        writeln!(out, "{:depth$}{name}", "")?;
        let inputs = step.get("children").and_then(Value::as_array);
        // The last one in is the first one out.
        steps.extend(
            inputs
                .into_iter()
                .flatten()
                .rev()
                .map(|input| (depth + 2, input)),
        );
    }
    Ok(())
}

/// Label sets, one a line.
pub(super) fn label_sets(data: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    for set in list(data)? {
        writeln!(out, "{}", labels(set)?)?;
    }
    Ok(())
}

/// Strings, one a line.
pub(super) fn strings(data: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    for string in list(data)? {
        writeln!(out, "{}", text(string)?)?;
    }
    Ok(())
}

/// A name as a segment of a path.
pub(super) fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            other => write!(out, "%{other:02X}").expect("writing to a String"),
        }
    }
    out
}

fn list(value: &Value) -> anyhow::Result<&Vec<Value>> {
    value.as_array().context("there is no list")
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("there is no text")
}

fn labels(set: &Value) -> anyhow::Result<Labels> {
    let pairs = set.as_object().context("there is no label set")?;
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| Ok((name.as_str(), text(value)?)));
    Ok(Labels::from_pairs(
        pairs.collect::<anyhow::Result<Vec<_>>>()?,
    ))
}

/// Labels with the name of the metric before them, where it can stand there.
fn metric(set: &Value) -> anyhow::Result<String> {
    let labels = labels(set)?;
    let name = labels.metric_name();
    if !is_legacy_metric_name(name) {
        return Ok(labels.to_string());
    }
    let mut out = name.to_owned();
    let rest = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    for (i, (name, value)) in rest.enumerate() {
        out.push_str(if i == 0 { "{" } else { ", " });
        write!(out, "{name}=")?;
        quote_into(&mut out, value);
    }
    if labels.len() > 1 {
        out.push('}');
    }
    Ok(out)
}

/// The one sample of a series.
fn sample(series: &Value, float_name: &str, histogram_name: &str) -> anyhow::Result<String> {
    match (series.get(float_name), series.get(histogram_name)) {
        (Some(point), _) => point_of(point, float),
        (None, Some(point)) => point_of(point, histogram),
        (None, None) => anyhow::bail!("a series has no sample"),
    }
}

/// A value and when it was.
fn point_of(point: &Value, show: fn(&Value) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let t = point[0].as_f64().context("a sample has no time")?;
    Ok(format!("{} @[{t}]", show(&point[1])?))
}

fn float(value: &Value) -> anyhow::Result<String> {
    text(value).map(str::to_owned)
}

/// A histogram: count, sum, and what its buckets hold, with brackets for bounds that belong to them.
fn histogram(value: &Value) -> anyhow::Result<String> {
    let (count, sum) = (text(&value["count"])?, text(&value["sum"])?);
    let mut buckets = Vec::new();
    for bucket in value
        .get("buckets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let (open, close) = match bucket[0].as_u64() {
            Some(0) => ('(', ']'),
            Some(1) => ('[', ')'),
            Some(2) => ('(', ')'),
            _ => ('[', ']'),
        };
        let (lower, upper) = (text(&bucket[1])?, text(&bucket[2])?);
        let count = text(&bucket[3])?;
        buckets.push(format!("{open}{lower},{upper}{close}:{count}"));
    }
    let buckets = buckets.join(" ");
    Ok(format!("Count: {count}, Sum: {sum}, Buckets: [{buckets}]"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(show: fn(&Value, &mut dyn Write) -> anyhow::Result<()>, data: &Value) -> String {
        let mut out = Vec::new();
        show(data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn results_look_as_promtool_shows_them() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "a\"b", "x": "y"}, "value": [1435781451.781, "1"]},
            {"metric": {"__name__": "up"}, "value": [5, "NaN"]},
            {"metric": {}, "histogram": [1.5, {"count": "3", "sum": "2",
                "buckets": [[0, "1", "2", "3"], [3, "-0.5", "0.5", "1"]]}]},
        ]});
        assert_eq!(
            shown(result, &vector),
            "up{job=\"a\\\"b\", x=\"y\"} => 1 @[1435781451.781]\n\
             up => NaN @[5]\n\
             {} => Count: 3, Sum: 2, Buckets: [(1,2]:3 [-0.5,0.5]:1] @[1.5]\n"
        );
        let matrix = json!({"resultType": "matrix", "result": [
            {"metric": {"a": "b"}, "values": [[1, "1"], [2.5, "2"]]},
        ]});
        assert_eq!(shown(result, &matrix), "{a=\"b\"} =>\n1 @[1]\n2 @[2.5]\n");
        let scalar = json!({"resultType": "scalar", "result": [1, "2"]});
        assert_eq!(shown(result, &scalar), "scalar: 2 @[1]\n");
        let string = json!({"resultType": "string", "result": [1, "text"]});
        assert_eq!(shown(result, &string), "text\n");
    }

    #[test]
    fn lists_have_a_line_for_each() {
        let sets = json!([{"b": "1", "__name__": "up"}]);
        assert_eq!(shown(label_sets, &sets), "{__name__=\"up\", b=\"1\"}\n");
        assert_eq!(shown(strings, &json!(["a", "b"])), "a\nb\n");
        assert_eq!(path_segment("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn what_is_no_result_is_refused() {
        for data in [
            json!(5),
            json!({"resultType": "vector", "result": [{}]}),
            json!({"resultType": "odd", "result": []}),
        ] {
            assert!(result(&data, &mut Vec::new()).is_err(), "{data}");
        }
    }
}
