//! A client of remote write 1.0, as small as a test needs it: no retries, no queue.

use std::io;

use crate::http::{self, Answer};

/// Samples of one series, to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels in order of names, `__name__` among them.
    pub labels: Vec<(String, String)>,
    /// Times in milliseconds with values.
    pub samples: Vec<(i64, f64)>,
}

/// Sends `series` to `path` of `127.0.0.1:port`.
///
/// # Errors
/// When there is no answer; an answer that refuses is none.
pub fn send(port: u16, path: &str, series: &[Series]) -> io::Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(&encode(series));
    let body = body.map_err(io::Error::other)?;
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    http::post(port, path, &headers, &body)
}

/// A `prometheus.WriteRequest`: timeseries 1; of these labels 1 (name 1, value 2) and samples 2 (value
/// 1, timestamp 2).
fn encode(series: &[Series]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let mut message = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            push_bytes(&mut label, 1, name.as_bytes());
            push_bytes(&mut label, 2, value.as_bytes());
            push_bytes(&mut message, 1, &label);
        }
        for (t, v) in &one.samples {
            let mut sample = vec![0x09];
            sample.extend_from_slice(&v.to_le_bytes());
            sample.push(0x10);
            push_varint(&mut sample, *t as u64);
            push_bytes(&mut message, 2, &sample);
        }
        push_bytes(&mut request, 1, &message);
    }
    request
}

fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_bytes_of_the_format() {
        let series = Series {
            labels: vec![("__name__".to_owned(), "up".to_owned())],
            samples: vec![(300, 1.0)],
        };
        let expected: &[u8] = b"\x0a\x1e\x0a\x0e\x0a\x08__name__\x12\x02up\
            \x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xac\x02";
        assert_eq!(encode(&[series]), expected);
    }
}
