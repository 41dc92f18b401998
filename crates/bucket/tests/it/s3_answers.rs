//! Answers of an S3 server that are late, too short, lost, or of another content than was listed.

use std::time::{Duration, Instant};

use bucket::fetch::Fetcher;
use bucket::{Bucket, Error, Hedge, ReadPlan, Version};
use futures::TryStreamExt as _;
use model::ErrorKind;

use crate::s3::{Fault, S3};

const BODY: &[u8] = b"0123456789";
const SOON: Duration = Duration::from_millis(500);
const NEVER: Duration = Duration::from_secs(60);

async fn with_object() -> S3 {
    let s3 = S3::start().await;
    s3.state().put("k", BODY);
    s3
}

#[tokio::test]
async fn silence_in_the_middle_is_given_up_and_tried_again() {
    let s3 = with_object().await;
    let bucket = s3.bucket(SOON);
    for bytes in [0, 4] {
        s3.fail([Fault::Stall(bytes)]);
        let begin = Instant::now();
        assert_eq!(bucket.get("k", 100).await.unwrap(), BODY, "{bytes}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(s3.log().len(), 2, "{bytes}");
    }
    s3.wait_given_up(2).await;
}

#[tokio::test]
async fn who_is_waited_for_gives_silence_up_in_time_for_another_try() {
    let s3 = with_object().await;
    let bucket = s3.bucket_with("");
    s3.fail([Fault::Stall(4)]);
    let reading = bucket.get("k", 100);
    let read = tokio::time::timeout(Duration::from_secs(25), reading).await;
    assert_eq!(read.unwrap().unwrap(), BODY);
}

#[tokio::test]
async fn a_range_that_is_slow_is_read_once_more_and_the_slow_one_given_up() {
    let s3 = with_object().await;
    let bucket = s3.bucket(NEVER);
    let plan = ReadPlan {
        hedge: Hedge::Slow,
        ..ReadPlan::default()
    };
    let range = std::slice::from_ref(&(2..5));
    for _ in 0..200 {
        bucket.get_ranges("k", range, &plan).await.unwrap();
    }
    s3.fail([Fault::Stall(1)]);
    let begin = Instant::now();
    let read = bucket.get_ranges("k", range, &plan).await.unwrap();
    assert_eq!(read, ["234"]);
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(s3.log(), ["GET bytes=2-4"; 2]);
    s3.wait_given_up(1).await;
}

#[tokio::test]
async fn who_gives_a_read_up_closes_its_connection() {
    let s3 = with_object().await;
    let bucket = s3.bucket(NEVER);
    s3.fail([Fault::Stall(4)]);
    let reading = bucket.get("k", 100);
    let read = tokio::time::timeout(Duration::from_millis(300), reading).await;
    assert!(read.is_err());
    s3.wait_given_up(1).await;
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_read_again() {
    let s3 = with_object().await;
    let bucket = s3.bucket(SOON);
    for fault in [Fault::Cut(0), Fault::Cut(2)] {
        s3.fail([fault]);
        assert_eq!(bucket.get("k", 100).await.unwrap(), BODY, "{fault:?}");
        assert_eq!(s3.log().len(), 2, "{fault:?}");
    }
    for fault in [Fault::Cut(0), Fault::Cut(2), Fault::Short(2)] {
        s3.fail([fault]);
        let read = bucket.get_range("k", 2..7).await.unwrap();
        assert_eq!(read, BODY[2..7], "{fault:?}");
        assert_eq!(s3.log().len(), 2, "{fault:?}");
    }
    // Of one that stays so nothing is handed on.
    s3.state().always = Some(Fault::Short(2));
    let error = bucket.get_range("k", 2..7).await.unwrap_err();
    assert!(matches!(error, Error::Length { found: 2, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn ranges_are_of_the_content_that_was_listed() {
    let s3 = with_object().await;
    let bucket = s3.bucket(SOON);
    let listed = async |bucket: &Bucket| {
        let objects: Vec<_> = bucket.list("").try_collect().await.unwrap();
        objects[0].e_tag.clone().unwrap()
    };
    let e_tag = listed(&bucket).await;
    let of = |e_tag| Version {
        key: "k",
        e_tag: Some(e_tag),
    };
    s3.fail([]);
    assert_eq!(bucket.get_range(of(&e_tag), 2..5).await.unwrap(), "234");
    assert_eq!(s3.log(), ["GET bytes=2-4 \"1\""]);
    s3.state().put("k", b"abcdefghij");
    let error = bucket.get_range(of(&e_tag), 2..5).await.unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    // The next look at the bucket resolves it.
    let e_tag = listed(&bucket).await;
    assert_eq!(bucket.get_range(of(&e_tag), 2..5).await.unwrap(), "cde");
    // Nor is what was begun gone on with in another content, without a tag either.
    s3.fail([Fault::CutAndReplace(2, "ABCDEFGHIJ")]);
    let read = bucket.get_range("k", 2..8).await;
    let is_whole = read.as_ref().is_ok_and(|read| read == "CDEFGH");
    assert!(is_whole || read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_known_as_ones_own() {
    let s3 = S3::start().await;
    let bucket = s3.bucket(SOON);
    s3.fail([Fault::Lose]);
    bucket.put("plain", "a").await.unwrap();
    assert_eq!(s3.state().objects["plain"].0, b"a");
    s3.fail([Fault::Lose]);
    assert!(bucket.create("once", "mine").await.unwrap());
    assert!(!bucket.create("once", "another's").await.unwrap());
    assert_eq!(s3.state().objects["once"], (b"mine".to_vec(), 1));
    // What did not get there is an error, and not somebody else's.
    s3.fail([Fault::Refuse("500 Internal Server Error", "X"); 10]);
    let failed = bucket.create("none", "mine").await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_is_listed_and_gone_is_not_there() {
    let s3 = S3::start().await;
    let bucket = s3.bucket(SOON);
    let id = "01JZ0000000000000000000000";
    s3.state().lagging = vec![format!("{id}/meta.json"), format!("{id}/index")];
    let fetcher = Fetcher::<std::sync::Arc<tsdb::block::Meta>>::new(bucket, None, Vec::new());
    let view = fetcher.sync(1_700_000_000_000).await.unwrap();
    assert!(view.blocks.is_empty());
}

#[tokio::test]
async fn what_an_operator_can_mend_is_said() {
    const FORBIDDEN: &str = "403 Forbidden";
    let s3 = with_object().await;
    let bucket = s3.bucket(SOON);
    for (status, code, said) in [
        ("404 Not Found", "NoSuchBucket", "there is no such bucket"),
        (
            "400 Bad Request",
            "ExpiredToken",
            "the credentials have expired",
        ),
        (
            FORBIDDEN,
            "InvalidAccessKeyId",
            "the access key is not known",
        ),
        (
            FORBIDDEN,
            "SignatureDoesNotMatch",
            "the secret key is wrong",
        ),
        (
            FORBIDDEN,
            "RequestTimeTooSkewed",
            "the clock of this machine",
        ),
        (FORBIDDEN, "AccessDenied", "the credentials are not allowed"),
    ] {
        s3.state().always = Some(Fault::Refuse(status, code));
        let mut errors = vec![
            bucket.get("k", 100).await.unwrap_err(),
            // That there is no bucket does not mean that there is no object.
            bucket.find("k", 100).await.unwrap_err(),
            bucket.put("k", "x").await.unwrap_err(),
            bucket.create("k", "x").await.unwrap_err(),
        ];
        let listed: Result<Vec<_>, _> = bucket.list("").try_collect().await;
        errors.push(listed.unwrap_err());
        for error in errors {
            let chain = error.chain();
            assert!(chain.contains(said), "{code}: {chain}");
            assert_ne!(error.kind(), ErrorKind::NotFound, "{code}: {chain}");
        }
    }
}
