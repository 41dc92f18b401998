//! The body of a target's answer: what its headers say of it, and what it holds once decompressed.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::error::Error;
use crate::config::Protocol;
use crate::exposition::Format;

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As a text format.
    Text(Format),
    /// As protobuf.
    Protobuf,
}

/// A target's answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// The body is compressed, whether that was asked for or not.
    pub(super) is_gzip: bool,
    /// The bytes that the body may have once it is not compressed.
    pub(super) limit: usize,
    /// What its type says, if anything that is known.
    pub(super) encoding: Result<Encoding, Error>,
}

/// An exposition.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) encoding: Encoding,
}

impl Answer {
    /// The exposition, which has about `expected` bytes.
    ///
    /// # Errors
    /// The body cannot be decompressed, is over its limit, or is of a type that is not known; nothing
    /// is an answer of any type.
    pub(super) fn unpack(self, expected: usize) -> Result<Body, Error> {
        let bytes = match self.is_gzip {
            false => self.body,
            true => decompressed(&self.body, self.limit, expected)?,
        };
        let encoding = match self.encoding {
            Err(_) if bytes.is_empty() => Encoding::Text(Format::Text),
            encoding => encoding?,
        };
        Ok(Body { bytes, encoding })
    }
}

/// What one or more gzip members hold, at most `limit` bytes.
fn decompressed(body: &[u8], limit: usize, expected: usize) -> Result<Vec<u8>, Error> {
    let mut whole = Vec::with_capacity(expected.min(limit));
    let decoder = MultiGzDecoder::new(body);
    let mut bounded = decoder.take((limit as u64).saturating_add(1));
    bounded.read_to_end(&mut whole).map_err(Error::Gzip)?;
    match whole.len() > limit {
        true => Err(Error::BodySize),
        false => Ok(whole),
    }
}

/// How a body of this type is read.
pub(super) fn encoding(content_type: &str, fallback: Option<Protocol>) -> Result<Encoding, Error> {
    let error = match parse(content_type) {
        Ok((media_type, version)) => match media_type.as_str() {
            "text/plain" => return Ok(Encoding::Text(Format::Text)),
            "application/openmetrics-text" if version.as_deref() == Some("2.0.0") => {
                Error::OpenMetrics2(content_type.to_owned())
            }
            "application/openmetrics-text" => return Ok(Encoding::Text(Format::OpenMetrics)),
            "application/vnd.google.protobuf" => return Ok(Encoding::Protobuf),
            _ => Error::ContentType(content_type.to_owned()),
        },
        Err(_) if content_type.is_empty() => Error::NoContentType,
        Err(reason) => Error::MalformedContentType(content_type.to_owned(), reason),
    };
    match fallback {
        Some(Protocol::Protobuf) => Ok(Encoding::Protobuf),
        Some(Protocol::Text004 | Protocol::Text100) => Ok(Encoding::Text(Format::Text)),
        Some(Protocol::OpenMetrics001 | Protocol::OpenMetrics100) => {
            Ok(Encoding::Text(Format::OpenMetrics))
        }
        None => Err(error),
    }
}

/// The media type, in lower case, and the parameter `version`.
fn parse(content_type: &str) -> Result<(String, Option<String>), &'static str> {
    let (media_type, mut rest) = match content_type.split_once(';') {
        Some((media_type, rest)) => (media_type.trim(), Some(rest)),
        None => (content_type.trim(), None),
    };
    let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, "x"));
    if kind.is_empty() {
        return Err("no media type");
    }
    if !is_token(kind) || !is_token(subtype) {
        return Err("unexpected content after media subtype");
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    while let Some(text) = rest.filter(|text| !text.trim().is_empty()) {
        let (name, value, after) = parameter(text).ok_or("invalid media parameter")?;
        if parameters.iter().any(|(n, v)| *n == name && *v != value) {
            return Err("duplicate parameter name");
        }
        parameters.push((name, value));
        rest = after;
    }
    let version = parameters.into_iter().find(|(name, _)| name == "version");
    Ok((media_type.to_ascii_lowercase(), version.map(|(_, v)| v)))
}

/// The name and the value of the first parameter, and what follows the semicolon after it.
fn parameter(text: &str) -> Option<(String, String, Option<&str>)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    if !is_token(name) {
        return None;
    }
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => {
            let end = rest.find(|c: char| c == ';' || c.is_whitespace());
            let (value, rest) = rest.split_at(end.unwrap_or(rest.len()));
            if !is_token(value) {
                return None;
            }
            (value.to_owned(), rest)
        }
    };
    let rest = rest.trim_start();
    let after = rest.strip_prefix(';');
    if after.is_none() && !rest.is_empty() {
        return None;
    }
    Some((name.to_ascii_lowercase(), value, after))
}

/// What comes before the closing quote, and what after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let separators = b"()<>@,;:\\\"/[]?=";
    let is_valid = |b: u8| b.is_ascii_graphic() && !separators.contains(&b);
    !text.is_empty() && text.bytes().all(is_valid)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn bodies_are_read_as_they_say() {
        use Encoding::{Protobuf, Text};
        let check = |content_type: &str, fallback, expected: Result<Encoding, &str>| {
            let found = encoding(content_type, fallback).map_err(|e| e.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{content_type}");
        };
        check(
            "text/plain; version=0.0.4; charset=utf-8",
            None,
            Ok(Text(Format::Text)),
        );
        check(
            "Application/OpenMetrics-Text;version=1.0.0",
            None,
            Ok(Text(Format::OpenMetrics)),
        );
        check(
            "application/vnd.google.protobuf; encoding=delimited",
            None,
            Ok(Protobuf),
        );
        check(
            "",
            None,
            Err(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
        );
        check(
            "text/html",
            None,
            Err(
                "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
            ),
        );
        check(
            "text/html",
            Some(Protocol::OpenMetrics100),
            Ok(Text(Format::OpenMetrics)),
        );
        for valid in [
            " text/plain ; version = 0.0.4",
            "text/plain; version=\"0.0.4\";",
            "TEXT/PLAIN; VERSION=9",
            "text/plain; a=\"b\\\";c\"; d=e",
        ] {
            check(valid, None, Ok(Text(Format::Text)));
        }
        for (invalid, reason) in [
            ("text/plain; ;;=", "invalid media parameter"),
            ("text/plain; version", "invalid media parameter"),
            ("text/plain; version=\"0", "invalid media parameter"),
            ("text/plain; a=1; A=2", "duplicate parameter name"),
            (
                "text/plain, text/html",
                "unexpected content after media subtype",
            ),
            (";;;", "no media type"),
        ] {
            let error = format!(
                "cannot parse Content-Type {invalid:?} and no fallback_scrape_protocol for target: {reason}"
            );
            check(invalid, None, Err(&error));
            check(invalid, Some(Protocol::Protobuf), Ok(Protobuf));
        }
        let second = "application/openmetrics-text; version=2.0.0";
        assert!(encoding(second, None).is_err());
        check(second, Some(Protocol::Text004), Ok(Text(Format::Text)));
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_read_to_their_end() {
        let unpacked = |body: &[u8], limit| {
            let encoding = Ok(Encoding::Text(Format::Text));
            let (body, is_gzip) = (body.to_vec(), true);
            let answer = Answer {
                body,
                is_gzip,
                limit,
                encoding,
            };
            answer
                .unpack(3)
                .map(|body| body.bytes)
                .map_err(|e| e.to_string())
        };
        let (first, second) = (gzip(b"a 1\n"), gzip(b"b 2\n"));
        let both = [first.as_slice(), &second].concat();
        assert_eq!(unpacked(&both, 8), Ok(b"a 1\nb 2\n".to_vec()));
        assert_eq!(
            unpacked(&both, 7),
            Err("body size limit exceeded".to_owned())
        );
        let bomb = gzip(&vec![0; 1 << 20]);
        assert_eq!(
            unpacked(&bomb, 99),
            Err("body size limit exceeded".to_owned())
        );
        for broken in [
            &first[..first.len() - 1],
            &[first.as_slice(), b"garbage"].concat(),
            b"a 1\n",
            b"",
        ] {
            let error = unpacked(broken, 99).unwrap_err();
            assert!(error.starts_with("gzip: "), "{error}");
        }
        let empty = gzip(b"");
        assert_eq!(unpacked(&empty, 99), Ok(Vec::new()));
    }
}
