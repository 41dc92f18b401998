//! Series as of pods, and what their samples are.

use model::Labels;

pub(crate) const SERIES_PER_POD: u64 = 200;

/// Ten labels, 190 bytes of text.
pub(crate) fn labels(pod: u64, series: u64) -> Labels {
    Labels::from_pairs([
        (
            "__name__",
            format!("http_server_request_duration_seconds_{}", series / 20),
        ),
        ("cluster", "eu-west-1".to_owned()),
        ("namespace", format!("team-{}", pod % 10)),
        (
            "pod",
            format!("api-{:x}-{pod}", pod.wrapping_mul(0x9e37_79b9)),
        ),
        ("container", "server".to_owned()),
        ("instance", format!("10.0.{}.{}:8080", pod / 250, pod % 250)),
        ("job", "api".to_owned()),
        (
            "method",
            ["GET", "PUT", "POST", "HEAD"][(series % 4) as usize].to_owned(),
        ),
        (
            "code",
            ["200", "204", "404", "429", "500"][(series % 5) as usize].to_owned(),
        ),
        ("handler", format!("/v1/resource/{}", series % 20)),
    ])
}

/// A fifth constant, a third idle counters, the rest busy counters and gauges.
pub(crate) fn value(series: u64, scrape: i64) -> f64 {
    let noise = series
        .wrapping_add(scrape as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 40;
    match series % 10 {
        0 | 1 => series as f64,
        2..=4 => (scrape / 20 + series as i64) as f64,
        5 | 6 => (scrape * 37 + (noise % 30) as i64) as f64,
        7 => (noise % 4096) as f64 * 4096.0,
        8 => noise as f64 / 100.0,
        _ => (scrape * 100) as f64 * 0.013 + (noise % 100) as f64 / 100.0,
    }
}
