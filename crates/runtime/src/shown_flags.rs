//! The flags of a command line with the values that they have, for `/api/v1/status/flags`.

use std::collections::BTreeMap;

use clap::{ArgAction, ArgMatches, Command};

/// What stands in place of a value that may hold secrets.
const HIDDEN: &str = "<hidden>";
/// What the help calls the value of a flag that takes configuration itself, not its file.
const CONFIGURATION: &str = "YAML";

/// Each flag of `command` under its long name, with what `matches` has for it: what was said, or the
/// default. Values of a flag that was repeated have commas between them; configuration that was said
/// itself is hidden. What only says no to another flag is left out, and so is `help`.
pub fn shown(command: &Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    let flags = command.get_arguments().filter_map(|flag| {
        let name = flag.get_long()?;
        let id = flag.get_id().as_str();
        let value = match flag.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse if !name.starts_with("no-") => {
                matches.get_flag(id).to_string()
            }
            ArgAction::Set | ArgAction::Append => {
                let said = matches.get_raw(id).into_iter().flatten();
                let said: Vec<_> = said.map(|value| value.to_string_lossy()).collect();
                said.join(",")
            }
            _ => return None,
        };
        let mut named = flag.get_value_names().into_iter().flatten();
        let is_hidden = !value.is_empty() && named.any(|name| name.as_str() == CONFIGURATION);
        let value = if is_hidden { HIDDEN.to_owned() } else { value };
        Some((name.to_owned(), value))
    });
    flags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[arg(long = "some.timeout", default_value = "2m")]
        _timeout: String,
        #[arg(long = "label")]
        _labels: Vec<String>,
        #[arg(long = "file")]
        _file: Option<String>,
        #[arg(long = "on")]
        _on: bool,
        #[arg(long = "off")]
        _off: bool,
        #[arg(long = "no-off")]
        _no_off: bool,
        #[arg(long = "objstore.config", value_name = "YAML")]
        _config: Option<String>,
        #[arg(long = "other.config", value_name = "YAML", default_value = "")]
        _other: String,
    }

    #[test]
    fn every_flag_has_its_value() {
        let command = <Line as clap::CommandFactory>::command();
        let said = [
            "line",
            "--label=a",
            "--label",
            "b",
            "--on",
            "--objstore.config=key: s3cret",
        ];
        let matches = command.clone().get_matches_from(said);
        let shown = shown(&command, &matches);
        let shown: Vec<_> = shown
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("file", ""),
                ("label", "a,b"),
                ("objstore.config", "<hidden>"),
                ("off", "false"),
                ("on", "true"),
                ("other.config", ""),
                ("some.timeout", "2m"),
            ]
        );
    }
}
