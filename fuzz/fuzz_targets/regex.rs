//! Any expression compiles or is refused; what it is reduced to agrees with the automaton that finds groups.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::regex::{CaptureRegex, Regex, Template};

fuzz_target!(|input: (&str, &str, &str)| {
    let (pattern, value, template) = input;
    let template = Template::new(template);
    let Ok(regex) = Regex::new(pattern) else { return };
    let matches = regex.is_match(value);
    if let Some(set) = regex.set_matches() {
        assert_eq!(set.binary_search_by(|s| (**s).cmp(value)).is_ok(), matches);
    }
    assert!(!matches || value.starts_with(regex.prefix()));
    // Groups can take an automaton past the limit that fits without them.
    let Ok(groups) = CaptureRegex::new(pattern) else { return };
    let captures = groups.captures(value);
    assert_eq!(captures.is_some(), matches);
    if let Some(captures) = captures {
        template.expand(&captures);
    }
});
