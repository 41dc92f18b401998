//! Every series of the conformance scripts can be read.

use promql::parse::series::{parse_series, parse_start_timestamps};

use crate::conformance;

#[test]
fn all_series_of_the_scripts_are_read() {
    let Some(folder) = conformance::find("promql") else {
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        let mut in_load = false;
        for line in script.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                in_load = in_load && !line.is_empty();
            } else if line.starts_with("load") {
                in_load = true;
            } else if in_load {
                count += 1;
                match parse_start_timestamps(line) {
                    Ok(Some(_)) => {}
                    Ok(None) => drop(parse_series(line).unwrap_or_else(|e| panic!("{e}: {line}"))),
                    Err(e) => panic!("{e}: {line}"),
                }
            }
        }
    }
    assert!(count > 500, "only {count} series");
}
