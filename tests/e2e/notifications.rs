//! What an operator is told at once: listed, and live as server-sent events.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use promontory_tests::{free_port, http};

use crate::all_in_one::AllInOne;

const FAILED: &str = "Configuration reload has failed.";

#[test]
fn a_reload_that_failed_is_told_until_one_succeeds() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, "scrape_configs: []\n")?;
    let flag = format!("--config.file={}", file.display());
    let ours = AllInOne::start_with(dir.path(), free_port(), &[flag])?;
    let mut stream = TcpStream::connect(("127.0.0.1", ours.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"GET /api/v1/notifications/live HTTP/1.0\r\n\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let mut line_with = |text: &str| -> anyhow::Result<String> {
        for line in lines.by_ref() {
            let line = line?;
            if line.contains(text) {
                return Ok(line);
            }
        }
        anyhow::bail!("the stream ended without {text:?}")
    };
    line_with("text/event-stream")?;
    for (text, status) in [("scrape_configs: [", 500), ("scrape_configs: []\n", 200)] {
        std::fs::write(&file, text)?;
        let reloaded = http::post(ours.port, "/-/reload", &[], b"")?;
        ensure!(reloaded.status == status, "{reloaded:?}");
        let listed = http::get(ours.port, "/api/v1/notifications")?;
        let is_so = status != 200;
        ensure!(listed.body.contains(FAILED) == is_so, "{listed:?}");
        let info = http::get(ours.port, "/api/v1/status/runtimeinfo")?.body;
        let told = format!("\"reloadConfigSuccess\":{}", !is_so);
        ensure!(info.contains(&told), "{info}");
        let figure = ours.figure("prometheus_config_last_reload_successful")?;
        ensure!(figure == Some(f64::from(u8::from(!is_so))), "{figure:?}");
        let event = line_with(FAILED)?;
        ensure!(event.contains(&format!("\"active\":{is_so}")), "{event}");
    }
    ours.server.signal("TERM")?;
    // Not after the time that a shutdown gives to requests: the stream is ended.
    ensure!(line_with("nothing more").is_err(), "the stream ends");
    Ok(())
}
