//! How a body is compressed, as client and server agree: RFC 9110, section 12.5.3.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{self, HeaderMap, HeaderValue};

/// Levels are low: answers are written while they are sent, and queries want the processor too.
const ZSTD_LEVEL: i32 = 1;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The coding that a client wants most, zstd before gzip where it does not care.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
        let accepted: Vec<(&str, u16)> = accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(weighted)
            .collect();
        let weight = |name: &str| {
            let named = |wanted: &str| {
                let found = accepted
                    .iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(wanted));
                found.map(|(_, weight)| *weight)
            };
            named(name).or_else(|| named("*"))
        };
        // Nobody has to name what is not compressed; who likes it better than the rest gets it.
        let plain = weight("identity").unwrap_or(0);
        let candidates = [(Self::Zstd, "zstd"), (Self::Gzip, "gzip")];
        let weighed = candidates.map(|(coding, name)| (coding, weight(name).unwrap_or(0)));
        let best = weighed.into_iter().rev().max_by_key(|(_, weight)| *weight);
        match best {
            Some((coding, weight)) if weight > 0 && weight >= plain => coding,
            _ => Self::Identity,
        }
    }

    /// The name in headers; none of what is not compressed.
    pub(super) const fn name(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// Has `write` write through the coding to `sink`, and gives the sink back.
    ///
    /// # Errors
    /// What `write` and the sink fail with.
    pub(super) fn encode<W: Write>(
        self,
        mut sink: W,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<W> {
        match self {
            Self::Identity => {
                write(&mut sink)?;
                Ok(sink)
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(sink, Compression::fast());
                write(&mut encoder)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(sink, ZSTD_LEVEL)?;
                write(&mut encoder)?;
                encoder.finish()
            }
        }
    }
}

/// A coding with its weight in thousandths, which is all of it when none is said.
fn weighted(text: &str) -> (&str, u16) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then_some(value.trim())
    });
    let weight = match weight.map(str::parse::<f32>) {
        None => 1.0,
        Some(Ok(weight)) => weight.clamp(0.0, 1.0),
        Some(Err(_)) => 0.0,
    };
    (name.trim(), (weight * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_wants_most() {
        use Coding::{Gzip, Identity, Zstd};
        for (header, expected) in [
            ("gzip", Gzip),
            ("deflate, GZIP;q=0.5", Gzip),
            ("gzip;q=0", Identity),
            ("gzip; q=0.0", Identity),
            ("br", Identity),
            ("", Identity),
            ("zstd, gzip", Zstd),
            ("gzip, deflate, br, zstd", Zstd),
            ("zstd;q=0.5, gzip", Gzip),
            ("zstd;q=0.5,gzip;q=0.501", Gzip),
            ("zstd;q=0, gzip;q=0.1", Gzip),
            ("*", Zstd),
            ("*;q=0.1, zstd;q=0", Gzip),
            ("gzip;q=0.5, identity", Identity),
            ("gzip;q=x", Identity),
            ("gzip;level=1;q=1", Gzip),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(Coding::wanted(&headers), expected, "{header}");
        }
        assert_eq!(Coding::wanted(&HeaderMap::new()), Identity);
    }

    #[test]
    fn bodies_can_be_read_again() {
        let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let encoded = |coding: Coding| {
            coding
                .encode(Vec::new(), |out| out.write_all(&body))
                .unwrap()
        };
        assert_eq!(encoded(Coding::Identity), body);
        let mut gunzipped = Vec::new();
        let gzip = encoded(Coding::Gzip);
        io::copy(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut gunzipped).unwrap();
        assert_eq!(gunzipped, body);
        let zstd = encoded(Coding::Zstd);
        assert!(zstd.len() < body.len());
        assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), body);
    }
}
