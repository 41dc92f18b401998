//! collectd, which writes lines to an OpenTSDB.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use promontory_tests::process::Server;
use promontory_tests::{now_ms, peer};
use serde_json::json;

use super::{Receivers, is_same, known_values};
use crate::component::PATIENCE;

/// Connects to a socket that a process is about to make.
fn connect(socket: &Path, server: &Server) -> anyhow::Result<UnixStream> {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(_) if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error).with_context(|| server.log()),
        }
    }
}

#[test]
fn collectd_writes_known_values() -> anyhow::Result<()> {
    let Some(program) = peer("collectd") else {
        return Ok(());
    };
    let receivers = Receivers::start()?;
    let dir = receivers.dir();
    let socket = dir.join("collectd.sock");
    let config = dir.join("collectd.conf");
    let text = format!(
        concat!(
            "Hostname \"h1\"\nFQDNLookup false\nBaseDir \"{dir}\"\nInterval 1\nWriteThreads 1\n",
            "LoadPlugin logfile\n<Plugin logfile>\n  File \"stderr\"\n</Plugin>\n",
            "LoadPlugin unixsock\n<Plugin unixsock>\n  SocketFile \"{socket}\"\n</Plugin>\n",
            "LoadPlugin write_tsdb\n<Plugin write_tsdb>\n  <Node>\n    Host \"127.0.0.1\"\n",
            "    Port \"{port}\"\n    HostTags \"status=production deviceclass=www\"\n",
            "  </Node>\n</Plugin>\n",
        ),
        dir = dir.display(),
        socket = socket.display(),
        port = receivers.opentsdb,
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("-f").arg("-C").arg(&config);
    let server = Server::start(&mut command, &dir.join("collectd.log"))?;
    let mut commands = connect(&socket, &server)?;
    let mut answers = BufReader::new(commands.try_clone()?);
    let t = now_ms() / 1000 - 300;
    for i in 0..10 {
        let value = i as f64 * 1.5 + 0.25;
        let put = format!("PUTVAL h1/known-a/gauge-b interval=1 {}:{value}\n", t + i);
        commands.write_all(put.as_bytes())?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        ensure!(answer.starts_with('0'), "{answer}{}", server.log());
    }
    let labels = json!({
        "__name__": "known.a.gauge.b",
        "fqdn": "h1",
        "status": "production",
        "deviceclass": "www",
    });
    let expected = json!({ "metric": labels, "values": known_values(t) });
    receivers.wait_for(r#"{fqdn="h1"}"#, |found| {
        // What is flushed is what its writing thread has come to.
        let flushed = commands.write_all(b"FLUSH\n");
        flushed.is_ok() && is_same(found, slice::from_ref(&expected))
    })?;
    Ok(())
}
