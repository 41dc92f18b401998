//! Flags of Thanos on our command line: those that this version does not have are accepted, named in
//! a warning and ignored, or refused where that would do harm.
//!
//! A user who swaps one component keeps the unit file or manifest of the old one, so a flag that
//! only tunes something we do otherwise must not stop the process; nor may one of a version of
//! Thanos that is newer than our lists, which is told by how it begins. What is nearly a flag of our
//! own is a typing error and stays one, and so is what neither we nor Thanos know. A flag whose
//! silence would lose data, lead it elsewhere or let somebody in is refused with the reason. A
//! component moves a name out of its list when it implements the flag. What loses nothing but leads data
//! elsewhere than there is ignored with an error in the log.
//!
//! As in Thanos each switch `--x` has its opposite `--no-x`.

use std::ffi::OsString;

use crate::Error;

/// Long names, without dashes, of flags that a component does not have.
#[derive(Debug, Clone, Copy)]
pub struct ForeignFlags {
    /// Flags with a value to ignore, `--name=value` or `--name value`.
    pub with_value: &'static [&'static str],
    /// Switches to ignore, `--name` or `--no-name`.
    pub switches: &'static [&'static str],
    /// Flags with a value to ignore that leads data elsewhere than here: everybody is to know.
    pub loud: &'static [LoudFlag],
    /// Flags with a value that must not be ignored.
    pub refused: &'static [RefusedFlag],
}

/// A flag whose value asks for what is not done here, and without which nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoudFlag {
    /// Its long name.
    pub name: &'static str,
    /// Values that ask for nothing.
    pub harmless: &'static [&'static str],
    /// A flag without which it is refused all the same.
    pub only_with: Option<&'static str>,
    /// What follows from ignoring it, and what to do.
    pub reason: &'static str,
}

/// A flag whose value asks for what is not done here.
#[derive(Debug, Clone, Copy)]
pub struct RefusedFlag {
    /// Its long name.
    pub name: &'static str,
    /// Values that ask for nothing.
    pub harmless: &'static [&'static str],
    /// Why it cannot be, and what to do instead.
    pub reason: &'static str,
}

/// A flag that a component has itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFlag {
    /// Its long name, or another one that it takes.
    pub name: String,
    /// Its long name.
    pub of: String,
    /// It has no value.
    pub is_switch: bool,
    /// It may be said more than once.
    pub is_repeated: bool,
}

/// A command line without what is not for the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorted {
    /// What is for the component.
    pub kept: Vec<OsString>,
    /// The foreign flags met, as they were written.
    pub ignored: Vec<String>,
    /// Those of which everybody is to know.
    pub loud: Vec<LoudFlag>,
}

/// Thanos' flags that every one of its components takes.
pub const COMMON: ForeignFlags = ForeignFlags {
    with_value: &[
        "tracing.config",
        "tracing.config-file",
        "auto-gomemlimit.ratio",
        "http-grace-period",
        "grpc-server-tls-ciphers",
        "grpc-server-tls-curves",
        "hash-func",
        "min-time",
        "max-time",
        "web.route-prefix",
        "web.external-prefix",
        "web.prefix-header",
        "enable-feature",
    ],
    switches: &["enable-auto-gomemlimit", "web.disable-cors", "web.disable"],
    loud: &[],
    refused: &[],
};

/// How flags of Thanos begin.
const BEGINNINGS: [&str; 44] = [
    "alert.",
    "alertmanagers.",
    "auto-gomemlimit.",
    "block-",
    "bucket-",
    "cache-",
    "caching-bucket",
    "compact.",
    "debug.",
    "deduplication.",
    "disable-",
    "downsample.",
    "downsampling.",
    "enable-",
    "endpoint",
    "exemplar.",
    "grpc-",
    "grpc.",
    "hash-func",
    "http-",
    "http.",
    "index-cache",
    "labels.",
    "log.",
    "matcher-cache",
    "metric-metadata.",
    "objstore",
    "prometheus.",
    "query-",
    "query.",
    "receive-",
    "receive.",
    "reloader.",
    "remote-write.",
    "request.",
    "retention.",
    "rule.",
    "selector",
    "shipper.",
    "store.",
    "target.",
    "tracing.",
    "tsdb.",
    "web.",
];

/// Names that have one of these guard something, or say where data goes: whoever says them does not
/// want them to be ignored.
const GUARDS: [&str; 7] = [
    "auth",
    "cert",
    "http.config",
    "objstore",
    "relabel",
    "tls",
    "web.config",
];

/// Letters that two names differ in when one is taken for a slip of the other.
const SLIPS_MAX: usize = 2;

/// What a flag is to a component.
enum Meaning {
    /// One of its own, or an error that its parser words best.
    Own,
    /// Its own switch of the name without `no-`, turned off.
    Off(String),
    /// Foreign; the next argument may be its value.
    Ignored { takes_next: bool },
    /// Foreign, and ignored with a remark.
    Loud(&'static LoudFlag),
    /// Foreign, and not to be ignored.
    Refused(&'static RefusedFlag),
}

/// The flags of a command line.
struct Known<'a> {
    own: &'a [OwnFlag],
    foreign: &'a [ForeignFlags],
}

impl Known<'_> {
    fn meaning(&self, name: &str, next: Option<&OsString>) -> Meaning {
        let own = |name: &str| self.own.iter().find(|flag| flag.name == name);
        let listed = |name: &str, list: fn(&ForeignFlags) -> &'static [&'static str]| {
            self.foreign.iter().any(|flags| list(flags).contains(&name))
        };
        if own(name).is_some() {
            return Meaning::Own;
        }
        let positive = name.strip_prefix("no-");
        if let Some(switch) = positive.and_then(own).filter(|flag| flag.is_switch) {
            return Meaning::Off(switch.name.clone());
        }
        let mut refused = self.foreign.iter().flat_map(|flags| flags.refused);
        if let Some(refused) = refused.find(|flag| flag.name == name) {
            return Meaning::Refused(refused);
        }
        let mut loud = self.foreign.iter().flat_map(|flags| flags.loud);
        if let Some(loud) = loud.find(|flag| flag.name == name) {
            return Meaning::Loud(loud);
        }
        if listed(name, |flags| flags.with_value) {
            return Meaning::Ignored { takes_next: true };
        }
        let switch = |name| listed(name, |flags| flags.switches);
        if switch(name) || positive.is_some_and(switch) {
            return Meaning::Ignored { takes_next: false };
        }
        let name = positive.unwrap_or(name);
        let begins = |name: &str| BEGINNINGS.iter().any(|start| name.starts_with(start));
        let is_slip = |flag: &OwnFlag| strsim::osa_distance(&flag.name, name) <= SLIPS_MAX;
        let begins_so = begins(name) && !GUARDS.iter().any(|guard| name.contains(guard));
        if begins_so && !self.own.iter().any(is_slip) {
            // A component takes nothing but flags, so what is none is the value of this one.
            let is_value = |arg: &OsString| !arg.to_string_lossy().starts_with('-');
            return Meaning::Ignored {
                takes_next: next.is_some_and(is_value),
            };
        }
        Meaning::Own
    }
}

/// Takes the foreign flags out of a command line for a component that has the flags `own`, and turns
/// off its switches that are said with `no-`.
///
/// A flag that the component has itself is not foreign to it, whatever the lists say. Arguments after
/// a bare `--` are left alone.
///
/// # Errors
/// [`Error::Flag`] for a flag that must not be ignored.
pub fn sort_flags(
    args: impl IntoIterator<Item = OsString>,
    own: &[OwnFlag],
    foreign: &[ForeignFlags],
) -> Result<Sorted, Error> {
    let known = Known { own, foreign };
    let (mut kept, mut ignored) = (Vec::<OsString>::new(), Vec::new());
    let mut loud = Vec::<LoudFlag>::new();
    let mut args = args.into_iter().peekable();
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
        let (name, value) = match said.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (said, None),
        };
        match known.meaning(name, args.peek()) {
            Meaning::Own => kept.push(arg),
            Meaning::Off(switch) => {
                let on = format!("--{switch}");
                kept.retain(|kept| kept.to_str() != Some(&*on));
            }
            Meaning::Ignored { takes_next } => {
                ignored.push(format!("--{name}"));
                if takes_next && value.is_none() {
                    args.next();
                }
            }
            Meaning::Loud(flag) => {
                if asks(flag.harmless, value, &mut args) && !loud.contains(flag) {
                    loud.push(*flag);
                }
            }
            Meaning::Refused(flag) => {
                if asks(flag.harmless, value, &mut args) {
                    return Err(refusal(flag.name, flag.reason));
                }
            }
        }
    }
    let is_said = |name: &str| {
        ignored
            .iter()
            .any(|said| said.strip_prefix("--") == Some(name))
    };
    match (loud.iter()).find(|flag| flag.only_with.is_some_and(|other| !is_said(other))) {
        Some(flag) => Err(refusal(flag.name, flag.reason)),
        None => Ok(Sorted {
            kept,
            ignored,
            loud,
        }),
    }
}

/// Whether a flag's value, which is the next of `args` unless it is said already, asks for something.
fn asks(harmless: &[&str], value: Option<&str>, args: &mut impl Iterator<Item = OsString>) -> bool {
    let next = value.is_none().then(|| args.next()).flatten();
    let next = next.as_ref().map(|next| next.to_string_lossy());
    let value = value.or(next.as_deref()).unwrap_or_default();
    !harmless.contains(&value)
}

fn refusal(flag: &'static str, reason: &str) -> Error {
    Error::Flag {
        flag,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: ForeignFlags = ForeignFlags {
        with_value: &["a.b", "c", "own", "tsdb.listed"],
        switches: &["s"],
        loud: &[LoudFlag {
            name: "receive.ring",
            harmless: &["", "[]"],
            only_with: Some("c"),
            reason: "there is no ring",
        }],
        refused: &[RefusedFlag {
            name: "receive.copies",
            harmless: &["", "1"],
            reason: "there is one copy",
        }],
    };

    fn sort(args: &str) -> Result<(String, Vec<String>), String> {
        let own = |name: &str, is_switch| OwnFlag {
            name: name.to_owned(),
            of: name.to_owned(),
            is_switch,
            is_repeated: false,
        };
        let own = [
            own("own", false),
            own("tsdb.retention", false),
            own("query.on", true),
        ];
        let args = args.split(' ').map(OsString::from);
        let sorted = sort_flags(args, &own, &[FLAGS]).map_err(|e| e.to_string())?;
        let kept: Vec<_> = sorted.kept.iter().map(|a| a.to_str().unwrap()).collect();
        Ok((kept.join(" "), sorted.ignored))
    }

    #[track_caller]
    fn check(args: &str, kept: &str, ignored: &[&str]) {
        let ignored = ignored.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(sort(args), Ok((kept.to_owned(), ignored)), "{args}");
    }

    #[test]
    fn takes_foreign_flags_with_their_values_and_nothing_else() {
        check("--x --a.b=1 y", "--x y", &["--a.b"]);
        check("--a.b 1 --c --x", "", &["--a.b", "--c"]);
        check("--s --no-s --no-c", "--no-c", &["--s", "--no-s"]);
        check("--own 1 --s", "--own 1", &["--s"]);
        check("--typo=1 -- --s", "--typo=1 -- --s", &[]);
    }

    #[test]
    fn takes_unknown_flags_that_begin_as_those_of_thanos() {
        check(
            "--tsdb.brand-new=5 --own=1",
            "--own=1",
            &["--tsdb.brand-new"],
        );
        check(
            "--query.brand-new 5 --own=1",
            "--own=1",
            &["--query.brand-new"],
        );
        check(
            "--query.brand-new --own=1",
            "--own=1",
            &["--query.brand-new"],
        );
        check("--no-query.brand-new", "", &["--no-query.brand-new"]);
    }

    #[test]
    fn leaves_what_guards_to_the_parser() {
        for said in [
            "--web.config.file=x",
            "--http.config.file=x",
            "--grpc-server-tls-cert-file=x",
            "--objstore.file=x",
            "--receive.relabel-config-file=x",
        ] {
            check(said, said, &[]);
        }
        check("--no-tsdb.retenton 1", "--no-tsdb.retenton 1", &[]);
    }

    #[test]
    fn leaves_slips_to_the_parser() {
        check("--tsdb.retenton=1d", "--tsdb.retenton=1d", &[]);
        check("--tsdb.retnetion 1d", "--tsdb.retnetion 1d", &[]);
        check("--pipeline.unknown=1", "--pipeline.unknown=1", &[]);
    }

    #[test]
    fn switches_are_turned_off() {
        check("--query.on --no-query.on", "", &[]);
        check("--no-query.on --query.on", "--query.on", &[]);
        check("--no-own", "--no-own", &[]);
    }

    #[test]
    fn what_leads_data_elsewhere_is_told_loudly() {
        let args = ["--receive.ring", "[x]", "--receive.ring=[y]", "--c=1"].map(OsString::from);
        let sorted = sort_flags(args, &[], &[FLAGS]).unwrap();
        assert_eq!(
            (sorted.kept, sorted.ignored),
            (vec![], vec!["--c".to_owned()])
        );
        assert_eq!(sorted.loud, FLAGS.loud);
        check("--receive.ring=[] --own=2", "--own=2", &[]);
        let error = sort("--receive.ring=[x]").unwrap_err();
        assert_eq!(error, "--receive.ring: there is no ring");
    }

    #[test]
    fn what_would_do_harm_is_refused() {
        check(
            "--receive.copies=1 --receive.copies 1 --own=2",
            "--own=2",
            &[],
        );
        for args in ["--receive.copies=3", "--receive.copies 3"] {
            let error = sort(args).unwrap_err();
            assert_eq!(error, "--receive.copies: there is one copy");
        }
    }
}
