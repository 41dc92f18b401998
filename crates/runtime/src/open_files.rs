//! How many files and sockets the process may have open.
//!
//! Systems let a process have few (1,024) unless it asks for more, for the sake of programs that use
//! `select`; this one does not. Go's runtime asks too, so Prometheus and Thanos do.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system lets it. Returns what it is then; `None` for no limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        // Some systems have a lower one that they do not tell.
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_may_be_open_as_the_system_lets_us_have() {
        let limit = getrlimit(Resource::Nofile);
        let hard = limit.maximum;
        let lower = hard.map_or(1 << 20, |hard| hard - 1);
        let lowered = Rlimit {
            current: Some(lower),
            ..limit
        };
        setrlimit(Resource::Nofile, lowered).unwrap();
        assert_eq!(raise(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
