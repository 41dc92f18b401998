//! Templates for a line about a block: the part of Go's that names fields, as `{{.ULID}}` and
//! `{{.Thanos.Labels.cluster}}`. Fields are those of `meta.json`, by their names there or in Thanos'
//! code, which differ in case and underscores only.

use std::fmt::Write as _;

use serde_json::Value;

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A field by its path.
    Field(Vec<String>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (field, after) = after
                .split_once("}}")
                .ok_or_else(|| "{{ has no }}".to_owned())?;
            parts.push(Part::Text(before.to_owned()));
            let field = field.trim();
            let path = field.strip_prefix('.');
            let path = path.filter(|path| !path.contains([' ', '|', '(', '"']));
            let path = path.ok_or_else(|| {
                format!(
                    "{{{{{field}}}}} names no field; write paths such as {{{{.Thanos.Labels}}}}"
                )
            })?;
            let names = path.split('.').map(str::to_owned);
            parts.push(Part::Field(names.filter(|name| !name.is_empty()).collect()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The line for a block.
    ///
    /// # Errors
    /// The field that there is none of.
    pub(super) fn line(&self, meta: &Value) -> Result<String, String> {
        let mut line = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(path) => {
                    let mut value = meta;
                    for name in path {
                        value = field(value, name)?;
                    }
                    show(value, &mut line);
                }
            }
        }
        Ok(line)
    }
}

/// The field `name`; what an object may have and has not is nothing.
fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    let Value::Object(object) = value else {
        return match value {
            Value::Null => Ok(value),
            _ => Err(format!("there is no {name:?} in {value}")),
        };
    };
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let found = object.get(name).or_else(|| {
        let mut fields = object.iter();
        fields
            .find(|(key, _)| plain(key) == plain(name))
            .map(|(_, value)| value)
    });
    Ok(found.unwrap_or(&Value::Null))
}

/// As Go shows it.
fn show(value: &Value, line: &mut String) {
    match value {
        Value::Null => {}
        Value::String(text) => line.push_str(text),
        Value::Array(items) => {
            line.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    line.push(' ');
                }
                show(item, line);
            }
            line.push(']');
        }
        Value::Object(fields) => {
            line.push_str("map[");
            for (n, (name, value)) in fields.iter().enumerate() {
                let space = if n > 0 { " " } else { "" };
                write!(line, "{space}{name}:").expect("a String takes all");
                show(value, line);
            }
            line.push(']');
        }
        other => write!(line, "{other}").expect("a String takes all"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_shown_as_by_go() {
        let meta = json!({
            "ulid": "01M", "minTime": 5, "stats": {"numSamples": 7},
            "compaction": {"sources": ["a", "b"], "level": 1},
            "thanos": {"labels": {"a": "1", "b": "2"}, "upload_time": "T"},
        });
        for (template, line) in [
            ("x", "x"),
            ("{{.ULID}} {{ .MinTime }}-", "01M 5-"),
            ("{{.Stats.NumSamples}}{{.Compaction.Sources}}", "7[a b]"),
            ("{{.Thanos.Labels}} {{.Thanos.Labels.b}}", "map[a:1 b:2] 2"),
            ("{{.Thanos.UploadTime}}{{.Thanos.Other.Field}}", "T"),
        ] {
            let shown = Template::parse(template).unwrap().line(&meta);
            assert_eq!(shown.as_deref(), Ok(line), "{template}");
        }
        assert!(Template::parse("{{.ULID.x}}").unwrap().line(&meta).is_err());
        for wrong in ["{{.ULID", "{{range .X}}", "{{printf \"x\"}}", "{{ULID}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
