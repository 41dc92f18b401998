//! The input, line by line, and the fast way through a line.
//!
//! OpenMetrics has no line break inside of a token, so lines can be told apart before they are
//! parsed, and memory is one buffer however large the file.

use std::hash::Hasher as _;
use std::io::{self, Read};

use memchr::{memchr, memrchr};
use twox_hash::XxHash3_64;

use crate::exposition::number;

/// Bytes that are read at once.
const READ_LEN: usize = 1 << 20;

/// Longest line; a longer one is taken for damage rather than buffered.
const LINE_MAX: usize = 16 << 20;

/// Reads lines and keeps count of them.
pub(super) struct Lines<R> {
    source: R,
    buf: Vec<u8>,
    /// Start of what was not handed out yet.
    start: usize,
    /// End of what was read.
    end: usize,
    line: u64,
    digest: XxHash3_64,
    bytes: u64,
    at_end: bool,
}

/// Which bytes an input had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    /// Number of bytes.
    pub(super) bytes: u64,
    /// XXH3 (64 bits) over them.
    pub(super) hash: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buf: vec![0; READ_LEN],
            start: 0,
            end: 0,
            line: 0,
            digest: XxHash3_64::new(),
            bytes: 0,
            at_end: false,
        }
    }

    /// The next line with its line break, which only the last may lack, and its number from 1;
    /// `None` at the end.
    ///
    /// # Errors
    /// When the source fails, or a line is longer than 16 MiB.
    pub(super) fn next_line(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut searched = self.start;
        let end = loop {
            if let Some(at) = memchr(b'\n', &self.buf[searched..self.end]) {
                break searched + at + 1;
            }
            if self.at_end {
                if self.start == self.end {
                    return Ok(None);
                }
                break self.end;
            }
            let pending = self.end - self.start;
            self.fill()?;
            searched = self.start + pending;
        };
        let line = &self.buf[self.start..end];
        self.start = end;
        self.line += 1;
        Ok(Some((self.line, line)))
    }

    /// Bytes read from the source so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Lines handed out so far.
    pub(super) fn lines_read(&self) -> u64 {
        self.line
    }

    /// What was read so far, all of it once [`next_line`](Self::next_line) came to the end.
    pub(super) fn digest(&self) -> Digest {
        Digest {
            bytes: self.bytes,
            hash: self.digest.finish(),
        }
    }

    /// Reads more behind the line that is not whole yet.
    fn fill(&mut self) -> io::Result<()> {
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buf.len() - self.end < READ_LEN / 2 {
            if self.buf.len() >= LINE_MAX {
                let message = format!(
                    "line {} is longer than {LINE_MAX} bytes; this is no OpenMetrics text",
                    self.line + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.buf.resize(self.buf.len() * 2, 0);
        }
        let read = loop {
            match self.source.read(&mut self.buf[self.end..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.digest.write(&self.buf[self.end..self.end + read]);
        self.bytes += read as u64;
        self.end += read;
        self.at_end = read == 0;
        Ok(())
    }
}

/// A line taken apart from its end, without a look at the labels.
#[derive(Debug, PartialEq)]
pub(super) struct QuickSample<'a> {
    /// What precedes value and timestamp: the series, if its bytes are those of one that was
    /// parsed before. Lexing goes from left to right, so equal bytes give equal tokens.
    pub(super) series: &'a [u8],
    pub(super) value: f64,
    /// Milliseconds.
    pub(super) timestamp: i64,
}

/// Splits `series value seconds`; `None` for any other line, which says nothing about its being
/// right or wrong.
#[inline]
pub(super) fn quick_sample(line: &[u8]) -> Option<QuickSample<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let t = memrchr(b' ', line)?;
    let v = memrchr(b' ', &line[..t])?;
    Some(QuickSample {
        series: &line[..v],
        value: number::parse_value(&line[v + 1..t])?,
        timestamp: number::seconds_to_ms(number::parse_seconds(&line[t + 1..])?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(3).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn lines_are_whole_and_numbered_however_they_arrive() {
        let text = b"one\n\nthree is longer\nlast";
        let mut lines = Lines::new(Trickle(text));
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next_line().unwrap() {
            found.push((number, String::from_utf8(line.to_vec()).unwrap()));
        }
        let expected = [
            (1, "one\n"),
            (2, "\n"),
            (3, "three is longer\n"),
            (4, "last"),
        ];
        assert_eq!(found, expected.map(|(n, l)| (n, l.to_owned())));
        let whole = XxHash3_64::oneshot(text);
        assert_eq!(
            lines.digest(),
            Digest {
                bytes: 25,
                hash: whole
            }
        );
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::new(io::repeat(b'x'));
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.starts_with("line 1 is longer"), "{error}");
    }

    #[test]
    fn plain_samples_are_split_from_the_end() {
        let split = |line: &str| {
            quick_sample(line.as_bytes()).map(|q| (q.series.to_vec(), q.value, q.timestamp))
        };
        assert_eq!(
            split("a{b=\"c d\"} 1 2.5\n"),
            Some((b"a{b=\"c d\"}".to_vec(), 1.0, 2500))
        );
        for other in [
            "a 1\n",
            "a 1 2",
            "a x 2\n",
            "a 1 2z\n",
            "# EOF\n",
            "\n",
            "a 1 # {} 1\n",
        ] {
            let quick = split(other);
            assert!(
                quick.is_none() || quick.is_some_and(|q| q.0 == b"a 1 # {}"),
                "{other}"
            );
        }
    }
}
