//! The generated reference of the command line against what the binary says.
//!
//! `UPDATE_GOLDEN=1 cargo test -p promontory --test e2e` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use promontory_tests::workspace_root;

const FILE: &str = "docs/reference/cli.md";

/// What `promontory ARGS... --help` prints.
fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_promontory"))
        .args(args)
        .arg("--help")
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{args:?} --help fails");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    list.lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Appends the pages of a command and all below it.
fn describe(path: &[&str], out: &mut String) {
    let text = help(path);
    let title = [&["promontory"], path].concat().join(" ");
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    write!(
        out,
        "\n## {title}\n\n```text\n{}\n```\n",
        text.join("\n").trim_end()
    )
    .expect("writing to a String");
    for name in subcommands(&text.join("\n")) {
        describe(&[path, &[name.as_str()]].concat(), out);
    }
}

#[test]
fn the_reference_is_what_the_binary_says() {
    let mut text =
        String::from("# Command line\n\nGenerated from `--help`; CONTRIBUTING.md says how.\n");
    describe(&[], &mut text);
    let file = workspace_root().join(FILE);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().expect("it lies in a folder")).expect("writable tree");
        fs::write(&file, &text).expect("writable tree");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == text,
        "{FILE} is out of date; run UPDATE_GOLDEN=1 cargo test -p promontory --test e2e reference"
    );
}
