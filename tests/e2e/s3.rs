//! An S3 server whose objects outlive it: ministack, from PyPI.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use promontory_tests::process::Server;
use promontory_tests::{free_port, peer};

use crate::component::PATIENCE;

/// The bucket that is made at the first start.
const BUCKET: &str = "blocks";

/// An S3 server that may be killed and started again.
pub(crate) struct S3 {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl S3 {
    /// Starts one with an empty bucket, its files in `dir`; `None` after saying that it is not
    /// installed.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = peer("ministack") else {
            return Ok(None);
        };
        let mut this = Self {
            program,
            dir: dir.to_owned(),
            port: free_port(),
            server: None,
        };
        this.restart()?;
        this.make_bucket()?;
        Ok(Some(this))
    }

    /// Makes the bucket, which the server forgets when it is killed before there is an object.
    pub(crate) fn make_bucket(&self) -> anyhow::Result<()> {
        let made = self.ask("PUT", &format!("/{BUCKET}")).unwrap_or_default();
        anyhow::ensure!(made.starts_with("HTTP/1.1 200"), "no bucket: {made}");
        Ok(())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again, with what it had.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", self.port.to_string())
            .env("SERVICES", "s3")
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", self.dir.join("s3"));
        let log = self.dir.join("ministack.log");
        self.server = Some(Server::start(&mut command, &log)?);
        // Any answer will do: there may be no bucket yet.
        let begin = Instant::now();
        while self.ask("GET", "/").is_none() {
            let waited = begin.elapsed();
            anyhow::ensure!(waited < PATIENCE, "the S3 server does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The bucket in Thanos' form, on one line.
    pub(crate) fn yaml(&self) -> String {
        self.yaml_through(self.port)
    }

    /// The same, reached through another port.
    pub(crate) fn yaml_through(&self, port: u16) -> String {
        format!(
            "{{type: S3, config: {{bucket: {BUCKET}, endpoint: '127.0.0.1:{}', insecure: true, \
             access_key: test, secret_key: secret, region: us-east-1}}, prefix: some/where}}",
            port
        )
    }

    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).ok()?;
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }
}
