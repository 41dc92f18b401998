//! Flags that are not on the command line: from variables of the environment, and from a file.
//!
//! The flag `--query.max-samples` is the variable `PROMONTORY_QUERY_MAX_SAMPLES`: capitals, with an
//! underscore for each dot and dash. In the YAML file that `--flags-file` names it stands under its
//! name. What the command line says goes before a variable, and that before the file.
//!
//! ```yaml
//! query.timeout: 1m
//! query.auto-downsampling: true      # a switch
//! endpoint: [a:10901, b:10901]       # a flag that may be repeated
//! objstore.config: {type: FILESYSTEM, config: {directory: ./bucket}}
//! label: 'zone="${ZONE:-eu}"'
//! ```
//!
//! In the variable of a flag that may be repeated each line is one value. Variables that name no flag
//! are let be: those that Kubernetes makes for a service named promontory begin so too. In the file a
//! name that is no flag is an error, as on the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use crate::foreign::OwnFlag;
use crate::{Environment, Error};

/// The flag that names the file.
pub const FILE_FLAG: &str = "flags-file";

/// What variables begin with.
const PREFIX: &str = "PROMONTORY_";

/// The variable of a flag.
pub fn variable(flag: &str) -> String {
    let name = flag.chars().map(|c| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    });
    PREFIX.chars().chain(name).collect()
}

/// The command line with what variables and the file say of flags that it leaves out; the first
/// `first` arguments are no flags. Its own flags are all names of those of the component.
///
/// # Errors
/// [`Error::Flag`] when the file cannot be used, or a switch is neither true nor false.
pub fn complete(
    mut args: Vec<OsString>,
    first: usize,
    own: &[OwnFlag],
    environment: &Environment,
) -> Result<Vec<OsString>, Error> {
    let first = first.min(args.len());
    let (mut said, mut file) = said(&args[first..], own);
    let by_line = said.clone();
    let mut more = Vec::new();
    let mut seen = BTreeSet::new();
    for flag in own.iter().filter(|flag| seen.insert(&*flag.of)) {
        let value = environment.variable(&variable(&flag.of));
        let Some(value) = value.filter(|_| !is_said(&by_line, &flag.of)) else {
            continue;
        };
        said.insert(&flag.of);
        if flag.of == FILE_FLAG {
            file = Some(value.to_owned());
        }
        let values: Vec<String> = match flag.is_repeated {
            true => value.lines().map(str::to_owned).collect(),
            false => vec![value.to_owned()],
        };
        more.extend(arguments(flag, &values).map_err(|reason| Error::Flag {
            flag: FILE_FLAG,
            reason: format!("the variable {}: {reason}", variable(&flag.of)),
        })?);
    }
    if let Some(file) = file.filter(|file| !file.is_empty()) {
        let listed = read(Path::new(&file), environment);
        let listed = listed.map_err(|reason| Error::Flag {
            flag: FILE_FLAG,
            reason: format!("{file}: {reason}"),
        })?;
        for (name, values) in listed {
            more.extend(
                of_file(&name, &values, own, &said).map_err(|reason| Error::Flag {
                    flag: FILE_FLAG,
                    reason: format!("{file}: {name}: {reason}"),
                })?,
            );
        }
    }
    // Before a bare `--`, and so that a flag without its value at the end stays an error.
    args.splice(first..first, more);
    Ok(args)
}

/// The flags that a command line says, and the file that it names.
fn said<'a>(args: &[OsString], own: &'a [OwnFlag]) -> (BTreeSet<&'a str>, Option<String>) {
    let (mut said, mut file) = (BTreeSet::new(), None);
    let mut args = args.iter().take_while(|arg| *arg != "--").peekable();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.to_str().and_then(|arg| arg.strip_prefix("--")) else {
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if name == FILE_FLAG {
            let next = args.peek().and_then(|next| next.to_str());
            file = value.or(next).map(str::to_owned);
        }
        let find = |name: &str| own.iter().find(|flag| flag.name == name);
        let positive = name.strip_prefix("no-");
        let found = find(name).or_else(|| positive.and_then(find));
        said.extend(found.map(|flag| &*flag.of));
    }
    (said, file)
}

/// Whether a flag is among these, or its other form: `--NAME` has the content of the file that
/// `--NAME-file` names.
fn is_said(said: &BTreeSet<&str>, name: &str) -> bool {
    let other = match name.strip_suffix("-file") {
        Some(content) => content.to_owned(),
        None => format!("{name}-file"),
    };
    said.contains(name) || said.contains(&*other)
}

/// The arguments that say a flag.
fn arguments(flag: &OwnFlag, values: &[String]) -> Result<Vec<OsString>, String> {
    let name = &flag.of;
    if !flag.is_switch {
        let said = values
            .iter()
            .map(|value| format!("--{name}={value}").into());
        return Ok(said.collect());
    }
    match values {
        [on] if matches!(&**on, "true" | "1") => Ok(vec![format!("--{name}").into()]),
        [off] if matches!(&**off, "false" | "0" | "") => Ok(Vec::new()),
        _ => Err("say true or false".to_owned()),
    }
}

/// The arguments that say an entry of the file, unless the flag was said already.
fn of_file(
    name: &str,
    values: &[String],
    own: &[OwnFlag],
    said: &BTreeSet<&str>,
) -> Result<Vec<OsString>, String> {
    match own.iter().find(|flag| flag.name == name) {
        Some(flag) if is_said(said, &flag.of) => Ok(Vec::new()),
        Some(flag) if values.len() != 1 && !flag.is_repeated => {
            Err("it has one value, and not a list".to_owned())
        }
        Some(flag) => arguments(flag, values),
        // One of Thanos that is not known here is for others to judge.
        None => Ok(values
            .iter()
            .map(|value| format!("--{name}={value}").into())
            .collect()),
    }
}

/// What a file says, flag by flag.
fn read(file: &Path, environment: &Environment) -> Result<BTreeMap<String, Vec<String>>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let listed: BTreeMap<String, Value> = crate::yaml::read(&text)?;
    let values = |value: &Value| match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(|item| shown(item, environment)).collect(),
        one => Ok(vec![shown(one, environment)?]),
    };
    let listed = listed.into_iter().filter(|(_, value)| !value.is_null());
    listed
        .map(|(name, value)| {
            let values = values(&value).map_err(|reason| format!("{name}: {reason}"))?;
            Ok((name, values))
        })
        .collect()
}

/// A value as the command line has it; what has parts is YAML, whose variables are for its reader.
fn shown(value: &Value, environment: &Environment) -> Result<String, String> {
    match value {
        Value::String(text) => environment.expand_braces(text),
        other => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(name: &str, of: &str, is_switch: bool, is_repeated: bool) -> OwnFlag {
        OwnFlag {
            name: name.to_owned(),
            of: of.to_owned(),
            is_switch,
            is_repeated,
        }
    }

    /// The command line, behind its first word, where there are these variables and this file.
    fn complete_with(
        args: &str,
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<String, String> {
        let own = [
            flag(FILE_FLAG, FILE_FLAG, false, false),
            flag("query.timeout", "query.timeout", false, false),
            flag("query.on", "query.on", true, false),
            flag("tsdb.path", "tsdb.path", false, false),
            flag("data-dir", "tsdb.path", false, false),
            flag("label", "label", false, true),
            flag("objstore.config", "objstore.config", false, false),
            flag("objstore.config-file", "objstore.config-file", false, false),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flags.yml");
        let mut args: Vec<OsString> = args.split_whitespace().map(Into::into).collect();
        args.insert(0, "promontory".into());
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
            args.push(format!("--flags-file={}", path.display()).into());
        }
        let variables = variables.iter().map(|(k, v)| (k.into(), v.into()));
        let args = complete(args, 1, &own, &Environment::new(variables));
        let args = args.map_err(|error| error.to_string())?;
        let args = args.iter().skip(1).map(|arg| arg.to_string_lossy());
        let args: Vec<_> = args.filter(|a| !a.starts_with("--flags-file")).collect();
        Ok(args.join(" "))
    }

    #[track_caller]
    fn check(args: &str, variables: &[(&str, &str)], file: Option<&str>, expected: &str) {
        let found = complete_with(args, variables, file);
        assert_eq!(found.as_deref(), Ok(expected));
    }

    #[test]
    fn variables_are_named_as_flags() {
        assert_eq!(
            variable("query.max-samples"),
            "PROMONTORY_QUERY_MAX_SAMPLES"
        );
        let variables = [
            ("PROMONTORY_QUERY_TIMEOUT", "1m"),
            ("PROMONTORY_QUERY_ON", "true"),
            ("PROMONTORY_LABEL", "a=\"1\"\nb=\"2\""),
            ("PROMONTORY_SERVICE_HOST", "10.0.0.1"),
        ];
        let all = r#"--query.timeout=1m --query.on --label=a="1" --label=b="2""#;
        check("", &variables, None, all);
    }

    #[test]
    fn the_command_line_goes_before_variables_and_those_before_the_file() {
        let file =
            "query.timeout: 1s\ntsdb.path: file\nlabel: [a=1, 'b=${B:-2}']\nquery.on: true\n";
        check(
            "",
            &[],
            Some(file),
            "--label=a=1 --label=b=2 --query.on --query.timeout=1s --tsdb.path=file",
        );
        check(
            "--data-dir=x --no-query.on",
            &[("PROMONTORY_QUERY_TIMEOUT", "2s"), ("B", "3")],
            Some(file),
            "--query.timeout=2s --label=a=1 --label=b=3 --data-dir=x --no-query.on",
        );
        check(
            "--query.timeout 3s -- --label",
            &[("PROMONTORY_QUERY_TIMEOUT", "2s")],
            None,
            "--query.timeout 3s -- --label",
        );
    }

    #[test]
    fn content_and_the_file_that_has_it_are_one_flag() {
        let variables = [("PROMONTORY_OBJSTORE_CONFIG_FILE", "b.yml")];
        let file = Some("objstore.config: {type: S3}\n");
        check(
            "--objstore.config=a",
            &variables,
            file,
            "--objstore.config=a",
        );
        check("", &variables, file, "--objstore.config-file=b.yml");
        check(
            "--objstore.config-file=c.yml",
            &[],
            file,
            "--objstore.config-file=c.yml",
        );
    }

    #[test]
    fn values_take_the_forms_of_the_command_line() {
        check("", &[], Some(" \n"), "");
        check("", &[], Some("query.on: false\nlabel:\n"), "");
        check(
            "",
            &[],
            Some("query.timeout: {type: X, config: {a: 1}}\n"),
            r#"--query.timeout={"config":{"a":1},"type":"X"}"#,
        );
        // For others to refuse or to warn of.
        check("", &[], Some("unknown: 5\n"), "--unknown=5");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let of_file = |text| complete_with("", &[], Some(text)).unwrap_err();
        for (error, said) in [
            (of_file("query.on: maybe\n"), "query.on: say true or false"),
            (
                of_file("query.timeout: [1, 2]\n"),
                "query.timeout: it has one",
            ),
            (of_file("label: ${NONE}\n"), "NONE"),
            (of_file("- x\n"), "flags.yml"),
            (
                complete_with("--flags-file=/none/x", &[], None).unwrap_err(),
                "/none/x",
            ),
            (
                complete_with("", &[("PROMONTORY_QUERY_ON", "x")], None).unwrap_err(),
                "PROMONTORY_QUERY_ON",
            ),
        ] {
            assert!(error.contains(said), "{error}");
        }
    }
}
