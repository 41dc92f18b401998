//! The closed set of error kinds that every crate's error maps to, and errors with their causes in one
//! line.

use std::error::Error;

/// What the caller should do about an error, apart from what went wrong.
///
/// Only `runtime` maps these to HTTP and gRPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong; sending it again will fail again.
    Invalid,
    /// The thing asked for does not exist.
    NotFound,
    /// Someone else holds or already made the thing.
    Conflict,
    /// A limit was reached; the message names it.
    Exhausted,
    /// Try again later.
    Unavailable,
    /// The caller gave up.
    Cancelled,
    /// Stored bytes are damaged; set them aside, do not retry.
    Corrupt,
    /// A bug of ours.
    Internal,
}

/// An error with all that led to it, outermost first, in one line. Some errors say what led to them
/// themselves; that is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Caused(&'static str, Option<Box<Self>>);

    impl fmt::Display for Caused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Caused {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        let gone = Caused("it is gone", None);
        let read = Caused("cannot read x: it is gone", Some(Box::new(gone)));
        let start = Caused("cannot start", Some(Box::new(read)));
        assert_eq!(chain(&start), "cannot start: cannot read x: it is gone");
    }
}
