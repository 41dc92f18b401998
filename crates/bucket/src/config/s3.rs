//! S3, and what speaks it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{Attribute, Attributes};
use serde::Deserialize;
use serde_json::Value;

use super::http::HttpConfig;
use super::{Opened, Patience, check_url, ensure_tls, refused};
use crate::error::{Error, Result};
use crate::pace::PacedConnector;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3 {
    bucket: String,
    endpoint: String,
    region: String,
    /// Hosts are asked by the names that are given, so that this is as it is in any case.
    #[serde(rename = "disable_dualstack")]
    _disable_dualstack: bool,
    aws_sdk_auth: bool,
    access_key: String,
    insecure: bool,
    signature_version2: bool,
    secret_key: String,
    session_token: String,
    put_user_metadata: BTreeMap<String, String>,
    http_config: HttpConfig,
    trace: Trace,
    list_objects_version: String,
    bucket_lookup_type: String,
    send_content_md5: Option<bool>,
    disable_multipart: bool,
    part_size: u64,
    sse_config: Sse,
    sts_endpoint: String,
    max_retries: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Trace {
    enable: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sse {
    #[serde(rename = "type")]
    kind: String,
    kms_key_id: String,
    kms_encryption_context: BTreeMap<String, Value>,
    encryption_key: String,
}

pub(super) fn open(config: S3, patience: Patience) -> Result<Opened> {
    let mut without_effect = config.check()?;
    let attributes = config.attributes(&mut without_effect);
    ensure_tls();
    let pace = patience.pace();
    let has_keys = !config.access_key.is_empty();
    let mut builder = match config.aws_sdk_auth || !has_keys {
        true => AmazonS3Builder::from_env(),
        false => AmazonS3Builder::new()
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key),
    };
    if !config.session_token.is_empty() {
        builder = builder.with_token(&config.session_token);
    }
    let (url, virtual_hosted) = config.address()?;
    check_url(&url)?;
    let silence_max = patience.silence_max();
    let options =
        (config.http_config).options(config.insecure, silence_max, &mut without_effect)?;
    let retries = (config.max_retries > 0).then_some(config.max_retries);
    builder = config
        .encrypt(builder)?
        .with_bucket_name(&config.bucket)
        .with_endpoint(url)
        .with_virtual_hosted_style_request(virtual_hosted)
        .with_region(config.region_or_guess())
        .with_allow_http(config.insecure)
        .with_client_options(options)
        .with_retry(patience.retry(retries))
        .with_http_connector(PacedConnector(Arc::clone(&pace)))
        // One request an object is what every server understands.
        .with_disable_bulk_delete(true);
    let store = builder.build().map_err(|e| refused(&e))?;
    Ok(Opened {
        store: Arc::new(store),
        name: config.bucket,
        root: None,
        is_new: false,
        attributes,
        without_effect,
        pace,
    })
}

impl S3 {
    /// Refuses what would do something else than was asked, and returns what has no effect.
    fn check(&self) -> Result<Vec<&'static str>> {
        let refuse = |what: &str| Err(Error::Config(what.to_owned()));
        if self.bucket.is_empty() {
            return refuse("config.bucket is empty");
        }
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._:~$".contains(&b);
        if !self.bucket.bytes().all(is_of_name) {
            return refuse("config.bucket is no name of a bucket: use letters, digits, - and .");
        }
        if self.endpoint.is_empty() {
            return refuse("config.endpoint is empty, such as s3.eu-west-1.amazonaws.com");
        }
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return refuse("give both of access_key and secret_key, or neither");
        }
        if self.aws_sdk_auth && !self.access_key.is_empty() {
            return refuse("give access_key and secret_key, or aws_sdk_auth, not both");
        }
        if !["", "v1", "v2"].contains(&self.list_objects_version.as_str()) {
            return refuse("list_objects_version is v1 or v2");
        }
        if self.sse_config.kind == "SSE-KMS" && self.sse_config.kms_key_id.is_empty() {
            return refuse("sse_config.type SSE-KMS needs a kms_key_id");
        }
        let without_effect = [
            // Servers of this decade take the later versions of both.
            (self.signature_version2, "signature_version2"),
            (self.list_objects_version == "v1", "list_objects_version"),
            (self.trace.enable, "trace.enable"),
            (self.send_content_md5 == Some(true), "send_content_md5"),
            (self.disable_multipart, "disable_multipart"),
            (self.part_size > 0, "part_size"),
            (!self.sts_endpoint.is_empty(), "sts_endpoint"),
            (
                !self.sse_config.kms_encryption_context.is_empty(),
                "sse_config.kms_encryption_context",
            ),
        ];
        let said = without_effect.into_iter().filter(|(said, _)| *said);
        Ok(said.map(|(_, field)| field).collect())
    }

    /// What objects are written with. Headers of S3 itself, but for the storage class, are added to
    /// `without_effect`.
    fn attributes(&self, without_effect: &mut Vec<&'static str>) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, value) in &self.put_user_metadata {
            let name = name.to_ascii_lowercase();
            let is_of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let is_header = !name.is_empty() && name.bytes().all(is_of_name);
            let is_value = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            let attribute = match name.as_str() {
                "x-amz-storage-class" => Some(Attribute::StorageClass),
                "content-type" => Some(Attribute::ContentType),
                "content-disposition" => Some(Attribute::ContentDisposition),
                "content-language" => Some(Attribute::ContentLanguage),
                "cache-control" => Some(Attribute::CacheControl),
                name => match name.strip_prefix("x-amz-meta-") {
                    Some(own) => Some(Attribute::Metadata(own.to_owned().into())),
                    None if name.starts_with("x-amz-") || name == "content-encoding" => None,
                    None => Some(Attribute::Metadata(name.to_owned().into())),
                },
            };
            match attribute.filter(|_| is_header && is_value) {
                Some(attribute) => {
                    attributes.insert(attribute, value.clone().into());
                }
                None => without_effect.push("put_user_metadata"),
            }
        }
        attributes
    }

    /// URL of the bucket's server, and whether the bucket is part of its host name.
    fn address(&self) -> Result<(String, bool)> {
        let scheme = if self.insecure { "http" } else { "https" };
        let host = (self.endpoint.split_once("://")).map_or(self.endpoint.as_str(), |(_, h)| h);
        let host = host.trim_end_matches('/');
        let virtual_hosted = match self.bucket_lookup_type.as_str() {
            "" | "auto" => host.ends_with(".amazonaws.com") && !self.bucket.contains('.'),
            "virtual-hosted" => true,
            "path" => false,
            other => {
                return Err(Error::Config(format!(
                    "bucket_lookup_type is {other:?}; use auto, virtual-hosted or path"
                )));
            }
        };
        Ok(match virtual_hosted {
            true => (format!("{scheme}://{}.{host}", self.bucket), true),
            false => (format!("{scheme}://{host}"), false),
        })
    }

    /// The region, which hosts of AWS carry in their names: `s3.REGION`, `s3-REGION`,
    /// `s3.dualstack.REGION`.
    fn region_or_guess(&self) -> String {
        if !self.region.is_empty() {
            return self.region.clone();
        }
        let name = self.endpoint.strip_suffix(".amazonaws.com");
        let name = name.and_then(|n| n.strip_prefix("s3"));
        let name = name.map(|n| n.trim_start_matches(".dualstack").trim_matches(['.', '-']));
        name.filter(|n| !n.is_empty())
            .unwrap_or("us-east-1")
            .to_owned()
    }

    fn encrypt(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let sse = &self.sse_config;
        Ok(match sse.kind.as_str() {
            "" => builder,
            "SSE-S3" => {
                let key: AmazonS3ConfigKey = ("aws_server_side_encryption".parse())
                    .map_err(|e: object_store::Error| refused(&e))?;
                builder.with_config(key, "AES256")
            }
            "SSE-KMS" => builder.with_sse_kms_encryption(&sse.kms_key_id),
            "SSE-C" => {
                let path = Path::new(&sse.encryption_key);
                let key = fs::read(path).map_err(|e| Error::local("read", path, e))?;
                builder.with_ssec_encryption(base64(&key))
            }
            other => {
                return Err(Error::Config(format!(
                    "sse_config.type is {other:?}; use SSE-S3, SSE-KMS or SSE-C"
                )));
            }
        })
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_bear_what_users_give_them() {
        let metadata = [
            ("X-Amz-Storage-Class", "GLACIER_IR"),
            ("X-Amz-Meta-Team", "a"),
            ("Owner", "me"),
            ("X-Amz-Acl", "private"),
            ("bad name", "x"),
        ];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = S3 {
            put_user_metadata: metadata.into(),
            ..S3::default()
        };
        let mut without_effect = Vec::new();
        let attributes = config.attributes(&mut without_effect);
        let expected = [
            (Attribute::StorageClass, "GLACIER_IR"),
            (Attribute::Metadata("team".into()), "a"),
            (Attribute::Metadata("owner".into()), "me"),
        ];
        assert_eq!(attributes, Attributes::from_iter(expected));
        assert_eq!(without_effect, ["put_user_metadata"; 2]);
    }

    #[test]
    fn addresses_follow_the_host() {
        for (endpoint, lookup, url, region) in [
            (
                "s3.eu-west-1.amazonaws.com",
                "auto",
                "https://b.s3.eu-west-1.amazonaws.com",
                "eu-west-1",
            ),
            (
                "s3-us-west-2.amazonaws.com",
                "path",
                "https://s3-us-west-2.amazonaws.com",
                "us-west-2",
            ),
            (
                "s3.dualstack.eu-west-1.amazonaws.com",
                "",
                "https://b.s3.dualstack.eu-west-1.amazonaws.com",
                "eu-west-1",
            ),
            (
                "s3.amazonaws.com",
                "path",
                "https://s3.amazonaws.com",
                "us-east-1",
            ),
            ("minio:9000", "", "https://minio:9000", "us-east-1"),
            (
                "http://minio:9000/",
                "virtual-hosted",
                "https://b.minio:9000",
                "us-east-1",
            ),
        ] {
            let config = S3 {
                bucket: "b".to_owned(),
                endpoint: endpoint.to_owned(),
                bucket_lookup_type: lookup.to_owned(),
                ..S3::default()
            };
            assert_eq!(config.address().unwrap().0, url, "{endpoint}");
            assert_eq!(config.region_or_guess(), region, "{endpoint}");
        }
    }
}
