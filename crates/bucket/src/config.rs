//! A bucket from its configuration, in the YAML of Thanos' `objstore`.
//!
//! A field that nobody knows is an error; one that Thanos knows and that has no meaning here is
//! named in a warning. Of several YAML documents the first counts, as in Thanos. The text is taken as
//! it is: who reads it from a flag has replaced `$(NAME)` already. Where no credentials are given, the
//! provider's usual ones are looked for (its variables of the environment, then its metadata
//! service).

mod azure;
mod gcs;
mod http;
mod s3;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::{Attributes, BackoffConfig, ObjectStore, RetryConfig};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::client::Bucket;
use crate::error::{Error, Result};
use crate::pace::Pace;

/// Types of Thanos that have no client here.
const FOREIGN_TYPES: [&str; 6] = ["SWIFT", "COS", "ALIYUNOSS", "BOS", "OCI", "OBS"];

/// How long a failing request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody waits: five times, for at most 15 s.
    Interactive,
    /// Work in the background: ten times, for at most three minutes.
    Background,
}

impl Patience {
    const fn time_max(self) -> Duration {
        match self {
            Self::Interactive => Duration::from_secs(15),
            Self::Background => Duration::from_secs(180),
        }
    }

    /// How long a store may be silent, before its first byte or between two, until a try is given up. A
    /// whole transfer has no deadline, since its size is unknown here.
    const fn silence_max(self) -> Duration {
        match self {
            // Leaves time for another try.
            Self::Interactive => Duration::from_secs(10),
            // The time that sending a large part takes counts too.
            Self::Background => Duration::from_secs(120),
        }
    }

    fn retry(self, retries_max: Option<usize>) -> RetryConfig {
        let retries = match self {
            Self::Interactive => 5,
            Self::Background => 10,
        };
        RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: retries_max.unwrap_or(retries),
            retry_timeout: self.time_max(),
        }
    }

    /// How fast a store is asked on behalf of who has this patience.
    fn pace(self) -> Arc<Pace> {
        Arc::new(Pace::new(self.time_max()))
    }
}

/// What is the same for all types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
struct Body<T> {
    config: T,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filesystem {
    directory: String,
}

/// What becomes of a directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Make,
    Refuse,
}

/// A store, the bucket's name, and what of the configuration has no effect.
struct Opened {
    store: Arc<dyn ObjectStore>,
    name: String,
    /// The directory that the store is.
    root: Option<PathBuf>,
    /// It was not there.
    is_new: bool,
    /// What every object that is written bears.
    attributes: Attributes,
    without_effect: Vec<&'static str>,
    /// How fast it is asked.
    pace: Arc<Pace>,
}

impl Bucket {
    /// The bucket that `yaml` describes. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] when the text is not such a configuration, of a type that has no client
    /// here, or asks for what the client cannot do; [`Error::Local`] when a directory cannot be
    /// made.
    pub fn open(yaml: &str, patience: Patience) -> Result<Self> {
        Self::open_as(yaml, patience, Absent::Make)
    }

    /// As [`Bucket::open`], for who looks for blocks: a directory must be there.
    ///
    /// # Errors
    /// As [`Bucket::open`], and [`Error::Config`] for a directory that is not there.
    pub fn open_existing(yaml: &str, patience: Patience) -> Result<Self> {
        Self::open_as(yaml, patience, Absent::Refuse)
    }

    fn open_as(yaml: &str, patience: Patience, absent: Absent) -> Result<Self> {
        let yaml = first_document(yaml);
        let head: Head = parse(yaml)?;
        let kind = head.kind.to_uppercase();
        let opened = match kind.as_str() {
            "FILESYSTEM" => open_directory(&body::<Filesystem>(yaml)?, absent)?,
            "S3" => s3::open(body(yaml)?, patience)?,
            "GCS" => gcs::open(body(yaml)?, patience)?,
            "AZURE" => azure::open(body(yaml)?, patience)?,
            other if FOREIGN_TYPES.contains(&other) => {
                return Err(Error::Config(format!(
                    "type {other} has no client here; use S3, which most providers speak, or GCS, AZURE, FILESYSTEM"
                )));
            }
            other => {
                return Err(Error::Config(format!(
                    "type {other:?} is not known; use S3, GCS, AZURE or FILESYSTEM"
                )));
            }
        };
        for field in &opened.without_effect {
            tracing::warn!(field, "field of the bucket's configuration has no effect");
        }
        let bucket = Self::new(opened.store, &opened.name, &head.prefix)
            .with_attributes(opened.attributes)
            .with_pace(opened.pace);
        let bucket = match opened.is_new {
            true => bucket.just_made(),
            false => bucket,
        };
        Ok(match &opened.root {
            Some(root) => bucket.in_local(root),
            None => bucket,
        })
    }

    /// A bucket in a directory, which is made if it is not there.
    ///
    /// What is written is durable before it is visible, and visible whole or not at all.
    ///
    /// # Errors
    /// [`Error::Local`], [`Error::Store`].
    pub fn in_directory(dir: &Path) -> Result<Self> {
        let directory = dir.to_string_lossy().into_owned();
        let opened = open_directory(&Filesystem { directory }, Absent::Make)?;
        Ok(Self::new(opened.store, &opened.name, "").in_local(dir))
    }
}

fn open_directory(config: &Filesystem, absent: Absent) -> Result<Opened> {
    if config.directory.is_empty() {
        return Err(Error::Config(
            "config.directory is empty; name the directory that holds the blocks".to_owned(),
        ));
    }
    let dir = Path::new(&config.directory);
    let is_new = !dir.exists();
    if is_new && absent == Absent::Refuse {
        return Err(Error::Config(format!(
            "directory {} is not there; name the one that holds the blocks",
            dir.display()
        )));
    }
    fs::create_dir_all(dir).map_err(|e| Error::local("create", dir, e))?;
    if is_new {
        tracing::info!(directory = config.directory, "made the bucket's directory");
    }
    let store = LocalFileSystem::new_with_prefix(dir)
        .map_err(|e| Error::store("open", &config.directory, e))?
        .with_fsync(true)
        .with_automatic_cleanup(true);
    Ok(Opened {
        store: Arc::new(store),
        name: config.directory.clone(),
        root: Some(dir.to_owned()),
        is_new,
        attributes: Attributes::new(),
        without_effect: Vec::new(),
        pace: Arc::default(),
    })
}

/// The text up to the line that ends its first document.
fn first_document(yaml: &str) -> &str {
    let mut has_content = false;
    let mut at = 0;
    for line in yaml.split_inclusive('\n') {
        let text = line.trim_end();
        let is_start = text == "---" || text.starts_with("--- ");
        if has_content && (is_start || text == "...") {
            return &yaml[..at];
        }
        has_content |= match text.strip_prefix("---") {
            Some(rest) if is_start => !rest.trim().is_empty(),
            _ => !text.is_empty() && !text.trim_start().starts_with(['#', '%']),
        };
        at += line.len();
    }
    yaml
}

fn parse<T: DeserializeOwned>(yaml: &str) -> Result<T> {
    // Only a line of what is wrong: the lines around it may hold secrets, and errors are logged.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        let shown = error.to_string();
        Error::Config(shown.lines().next().unwrap_or_default().to_owned())
    })
}

/// The part that depends on the type.
fn body<T: DeserializeOwned>(yaml: &str) -> Result<T> {
    parse::<Body<T>>(yaml).map(|body| body.config)
}

/// An error of a client's builder.
fn refused(error: &object_store::Error) -> Error {
    Error::Config(error.to_string())
}

/// Refuses the URL of a server that no client can use.
fn check_url(url: &str) -> Result<()> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if parsed.has_host() => Ok(()),
        Ok(_) => Err(Error::Config(format!(
            "{url} names no host; check config.endpoint"
        ))),
        Err(error) => Err(Error::Config(format!(
            "{url} is no URL ({error}); check config.endpoint, and with an address instead of a name \
             use bucket_lookup_type path"
        ))),
    }
}

/// Remote stores are reached over TLS, whose implementation is chosen once for the process.
fn ensure_tls() {
    // An error means that the process has chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(yaml: &str) -> std::result::Result<String, String> {
        match Bucket::open(yaml, Patience::Interactive) {
            Ok(bucket) => Ok(format!("{} {}", bucket.name(), bucket.store())),
            Err(e) => Err(e.chain()),
        }
    }

    #[test]
    fn a_directory_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let yaml = format!(
            "type: filesystem\nconfig:\n  directory: {}\nprefix: p\n",
            path.display()
        );
        let error = Bucket::open_existing(&yaml, Patience::Background).unwrap_err();
        assert!(error.to_string().contains("a/b is not there"), "{error}");
        assert!(!path.exists());
        let bucket = Bucket::open(&yaml, Patience::Background).unwrap();
        assert!(path.is_dir() && bucket.is_new());
        Bucket::open_existing(&yaml, Patience::Background).unwrap();
        assert!(!Bucket::open(&yaml, Patience::Background).unwrap().is_new());
        assert_eq!(bucket.path("k").unwrap().as_ref(), "p/k");
    }

    #[tokio::test]
    async fn a_directory_is_left_clean() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_directory(dir.path()).unwrap();
        bucket.put("a/b/c", "x").await.unwrap();
        assert!(!bucket.create("a/b/c", "y").await.unwrap());
        bucket.delete("a/b/c").await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn stores_are_found_by_type() {
        for (yaml, expected) in [
            (
                "type: S3\nconfig: {bucket: b, endpoint: 's3.eu-west-1.amazonaws.com', access_key: a, secret_key: s}",
                "b AmazonS3(b)",
            ),
            (
                "type: S3\nconfig:\n  bucket: b\n  endpoint: localhost:9000\n  insecure: true\n  access_key: a\n  secret_key: s\n  signature_version2: false\n  http_config:\n    idle_conn_timeout: 1m30s\n    response_header_timeout: 2m\n    insecure_skip_verify: true\n  trace: {enable: true}\n  part_size: 134217728\n  sse_config: {type: SSE-S3}\nprefix: x",
                "b AmazonS3(b)",
            ),
            (
                "type: AZURE\nconfig: {storage_account: acc, storage_account_key: a2V5, container: c}",
                "c MicrosoftAzure { account: acc, container: c }",
            ),
            (
                "type: AZURE\nconfig: {storage_connection_string: 'AccountName=acc;AccountKey=a2V5;EndpointSuffix=core.windows.net', container: c}",
                "c MicrosoftAzure { account: acc, container: c }",
            ),
        ] {
            assert_eq!(open(yaml).as_deref(), Ok(expected), "{yaml}");
        }
    }

    /// All fields that Thanos' documentation shows, with its defaults.
    const PUBLISHED: [&str; 3] = [
        "type: S3
config:
  bucket: b
  endpoint: localhost:9000
  region: ''
  disable_dualstack: false
  aws_sdk_auth: false
  access_key: a
  insecure: false
  signature_version2: false
  secret_key: s
  session_token: ''
  put_user_metadata: {}
  http_config:
    idle_conn_timeout: 1m30s
    response_header_timeout: 2m
    insecure_skip_verify: false
    tls_handshake_timeout: 10s
    expect_continue_timeout: 1s
    max_idle_conns: 100
    max_idle_conns_per_host: 100
    max_conns_per_host: 0
    force_attempt_http2: false
    tls_config: {ca_file: '', cert_file: '', key_file: '', server_name: '', insecure_skip_verify: false}
    disable_compression: false
  trace: {enable: false}
  list_objects_version: ''
  bucket_lookup_type: auto
  send_content_md5: true
  disable_multipart: false
  part_size: 67108864
  sse_config: {type: '', kms_key_id: '', kms_encryption_context: {}, encryption_key: ''}
  sts_endpoint: ''
  max_retries: 0
prefix: ''
",
        "type: AZURE
config:
  storage_account: acc
  storage_account_key: a2V5
  storage_connection_string: ''
  storage_create_container: true
  azure_storage_account_type: ''
  container: c
  endpoint: blob.core.windows.net
  user_assigned_id: ''
  az_tenant_id: ''
  client_id: ''
  client_secret: ''
  max_retries: 0
  reader_config: {max_retry_requests: 0}
  pipeline_config: {max_tries: 0, try_timeout: 0s, retry_delay: 0s, max_retry_delay: 0s}
  http_config: {force_attempt_http2: true, disable_compression: false}
  msi_resource: ''
prefix: ''
",
        "type: GCS
config:
  bucket: g
  service_account: '{\"type\": \"service_account\", \"gcs_base_url\": \"http://localhost\", \"disable_oauth\": true, \"client_email\": \"\", \"private_key\": \"\", \"private_key_id\": \"\"}'
  use_grpc: false
  grpc_conn_pool_size: 0
  http_config: {idle_conn_timeout: 0s, max_idle_conns: 0, force_attempt_http2: false}
  chunk_size_bytes: 0
  max_retries: 0
  universe_domain: ''
",
    ];

    #[test]
    fn what_thanos_publishes_is_taken() {
        for yaml in PUBLISHED {
            assert!(open(yaml).is_ok(), "{yaml}\n{:?}", open(yaml));
        }
    }

    #[test]
    fn what_has_no_effect_stops_nothing() {
        for fields in [
            "signature_version2: true",
            "list_objects_version: v1",
            "http_config: {tls_config: {cert_file: c, key_file: k, server_name: n}}",
            "put_user_metadata: {X-Amz-Storage-Class: GLACIER_IR, X-Amz-Acl: private, owner: me}",
        ] {
            let yaml = format!("type: S3\nconfig: {{bucket: b, endpoint: e, {fields}}}");
            assert_eq!(open(&yaml).as_deref(), Ok("b AmazonS3(b)"), "{yaml}");
        }
    }

    #[test]
    fn the_first_document_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().display();
        for (before, after) in [
            ("---\n", "---\ntype: S3\n"),
            ("# x\n", "...\n"),
            ("", "--- 5"),
        ] {
            let yaml = format!("{before}type: FILESYSTEM\nconfig:\n  directory: {dir}\n{after}");
            assert!(open(&yaml).is_ok(), "{yaml}: {:?}", open(&yaml));
        }
        assert_eq!(first_document("a: |\n  ---\nb: 1"), "a: |\n  ---\nb: 1");
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (yaml, said) in [
            ("", "end of input"),
            ("type: FLOPPY\nconfig: {}", "\"FLOPPY\" is not known"),
            ("type: SWIFT\nconfig: {}", "SWIFT has no client here"),
            (
                "type: FILESYSTEM\nconfig: {directory: ''}",
                "directory is empty",
            ),
            ("type: FILESYSTEM\nconfig: {dir: x}", "dir"),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, sekret_key: s}",
                "sekret_key",
            ),
            ("type: S3\nconfig: {endpoint: e}", "config.bucket is empty"),
            ("type: S3\nconfig: {bucket: b}", "config.endpoint is empty"),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, access_key: a}",
                "access_key and secret_key",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: '127.0.0.1:9000', bucket_lookup_type: virtual-hosted}",
                "use bucket_lookup_type path",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: 'e:99999'}",
                "check config.endpoint",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: 'a b'}",
                "is no URL",
            ),
            (
                "type: S3\nconfig: {bucket: a b, endpoint: e}",
                "no name of a bucket",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, access_key: a, secret_key: s, aws_sdk_auth: true}",
                "not both",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, list_objects_version: v9}",
                "v1 or v2",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, sse_config: {type: SSE-KMS}}",
                "kms_key_id",
            ),
            (
                "type: AZURE\nconfig: {container: c, storage_account: a, storage_account_key: aw==, endpoint: 'h:x'}",
                "check config.endpoint",
            ),
            (
                "type: S3\nconfig: {bucket: b, endpoint: e, sse_config: {type: X}}",
                "SSE-S3, SSE-KMS or SSE-C",
            ),
            ("type: GCS\nconfig: {bucket: ''}", "config.bucket is empty"),
            ("type: AZURE\nconfig: {container: c}", "storage_account"),
        ] {
            let error = open(yaml).unwrap_err();
            assert!(error.contains(said), "{yaml}: {error}");
        }
    }
}
