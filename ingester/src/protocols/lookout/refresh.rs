//! What clients are told to report: the gateway may answer a client's check with a list of prefixes of
//! names and of tags, and the client then reports nothing else. The gateway that Lookout published
//! never does; its clients understand it.

use serde::Serialize;
use twox_hash::XxHash64;

/// What clients may report; everything when there is nothing in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refresh {
    /// Prefixes of metric names.
    pub name_prefixes: Vec<String>,
    /// Tags as `key=value`.
    pub tags: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    config: Config,
}

#[derive(Serialize)]
struct Config {
    name_pre_wl: String,
    tag_wl: String,
}

impl Refresh {
    /// What to tell a client that has the list `known`: nothing when that is what there is, and no
    /// text where it is to forget its list.
    pub fn answer(&self, known: &str) -> Option<String> {
        if self.name_prefixes.is_empty() && self.tags.is_empty() {
            return (!known.is_empty()).then(String::new);
        }
        let config = Config {
            name_pre_wl: self.name_prefixes.join(","),
            tag_wl: self.tags.join(","),
        };
        let said = serde_json::to_string(&config).expect("text only");
        let id = format!("c{:016x}", XxHash64::oneshot(0, said.as_bytes()));
        if id == known {
            return None;
        }
        let answer = Answer { id, config };
        Some(serde_json::to_string(&answer).expect("text only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_what_they_do_not_know() {
        let none = Refresh::default();
        assert_eq!(none.answer(""), None);
        assert_eq!(none.answer("c7"), Some(String::new()));
        let some = Refresh {
            name_prefixes: vec!["jvm.".to_owned(), "rpc.consumer".to_owned()],
            tags: vec!["zone=hz1".to_owned(), "env=prod".to_owned()],
        };
        let answer = some.answer("").unwrap();
        let (id, config) = answer.split_at(r#"{"id":"c0123456789abcdef"#.len());
        assert_eq!(
            config,
            r#"","config":{"name_pre_wl":"jvm.,rpc.consumer","tag_wl":"zone=hz1,env=prod"}}"#
        );
        let id = id.trim_start_matches(r#"{"id":""#);
        assert_eq!(some.answer(id), None);
        assert_eq!(some.answer("c7").as_ref(), Some(&answer));
    }
}
