//! Flags of Thanos that this version does not have: accepted, named in a warning, ignored.
//!
//! A user who swaps one component keeps the unit file or manifest of the old one, so a flag that
//! only tunes something we do otherwise must not stop the process. A flag that neither we nor
//! Thanos know is a typing error and stays one. To tell a foreign flag's value from the next
//! argument, each must be listed with whether it takes one; a component moves a name out of its
//! list when it implements the flag.

use std::ffi::OsString;

/// Long names, without dashes, of flags to accept and ignore.
#[derive(Debug, Clone, Copy)]
pub struct ForeignFlags {
    /// Flags with a value, `--name=value` or `--name value`.
    pub with_value: &'static [&'static str],
    /// Switches, `--name` or `--no-name`.
    pub switches: &'static [&'static str],
}

/// Thanos' flags that every one of its components takes.
pub const COMMON: ForeignFlags = ForeignFlags {
    with_value: &[
        "tracing.config",
        "tracing.config-file",
        "auto-gomemlimit.ratio",
        "http-grace-period",
        "request.logging-config",
        "request.logging-config-file",
        "hash-func",
        "min-time",
        "max-time",
        "selector.relabel-config",
        "selector.relabel-config-file",
        "web.route-prefix",
        "web.external-prefix",
        "web.prefix-header",
        "enable-feature",
    ],
    switches: &["enable-auto-gomemlimit", "web.disable-cors", "web.disable"],
};

/// Takes the foreign flags out of a command line.
///
/// Returns the arguments that are left and the foreign flags met, as they were written. A flag that
/// the component has itself is not foreign to it, whatever the lists say. Arguments after a bare
/// `--` are left alone.
pub fn take_foreign(
    args: impl IntoIterator<Item = OsString>,
    foreign: &[ForeignFlags],
    is_own: impl Fn(&str) -> bool,
) -> (Vec<OsString>, Vec<String>) {
    let listed = |name: &str, list: fn(&ForeignFlags) -> &'static [&'static str]| {
        !is_own(name) && foreign.iter().any(|flags| list(flags).contains(&name))
    };
    let with_value = |name: &str| listed(name, |flags| flags.with_value);
    let switch = |name: &str| listed(name, |flags| flags.switches);

    let (mut kept, mut ignored) = (Vec::new(), Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            kept.push(arg);
            kept.extend(args);
            break;
        }
        let Some(said) = arg.to_str().and_then(|a| a.strip_prefix("--")) else {
            kept.push(arg);
            continue;
        };
        let name = said.split_once('=').map_or(said, |(name, _)| name);
        if with_value(name) {
            ignored.push(format!("--{name}"));
            if name == said {
                args.next();
            }
        } else if switch(name) || name.strip_prefix("no-").is_some_and(switch) {
            ignored.push(format!("--{name}"));
        } else {
            kept.push(arg);
        }
    }
    (kept, ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_foreign_flags_with_their_values_and_nothing_else() {
        const FLAGS: ForeignFlags = ForeignFlags {
            with_value: &["a.b", "c", "own"],
            switches: &["s"],
        };
        let check = |args: &str, kept: &str, ignored: &[&str]| {
            let args_os = args.split(' ').map(OsString::from);
            let (k, i) = take_foreign(args_os, &[FLAGS], |name| name == "own");
            let k: Vec<_> = k.iter().map(|a| a.to_str().unwrap()).collect();
            assert_eq!(
                (k.join(" ").as_str(), i),
                (kept, ignored.iter().map(|s| (*s).to_owned()).collect()),
                "{args}"
            );
        };
        check("--x --a.b=1 y", "--x y", &["--a.b"]);
        check("--a.b 1 --c --x", "", &["--a.b", "--c"]);
        check("--s --no-s --no-c", "--no-c", &["--s", "--no-s"]);
        check("--own 1 --s", "--own 1", &["--s"]);
        check("--typo=1 -- --s", "--typo=1 -- --s", &[]);
    }
}
