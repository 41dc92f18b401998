//! Limits that hold although nobody asked for any: what is too much is refused quickly, with a reason
//! that names the limit, and the process goes on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use promontory_tests::free_port;
use promontory_tests::http::{self, Answer};
use promontory_tests::remote_write::{self, Series};
use proto::thanos::LabelValuesRequest;
use proto::thanos::store_client::StoreClient;

use crate::all_in_one::AllInOne;
use crate::block_data::START_MS;
use crate::component::Component;

/// No refusal takes longer, on a machine that does other things too; what is not refused would take hours.
const QUICKLY: Duration = Duration::from_secs(30);

/// Fails unless the answer has this status and names the reason.
fn check(what: &str, answer: &Answer, status: u16, reason: &str) -> anyhow::Result<()> {
    let begin: String = answer.body.chars().take(300).collect();
    ensure!(
        answer.status == status && answer.body.contains(reason),
        "{what}: {} {begin}",
        answer.status
    );
    Ok(())
}

#[test]
fn queries_that_ask_for_too_much_are_refused() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    let nested = format!("{}up{}", "(".repeat(2000), ")".repeat(2000));
    let aggregated = format!("{}up{}", "sum(".repeat(1000), ")".repeat(1000));
    let signs = format!("{}up", "-".repeat(10_000));
    let powers = vec!["up"; 2000].join("^");
    let sums = vec!["up"; 3000].join("+");
    let long = format!("up{{a=~\"{}\"}}", "x|".repeat(600_000));
    for (what, query, reason) in [
        ("brackets", nested.as_str(), "--query.max-nesting"),
        ("aggregations", &aggregated, "--query.max-nesting"),
        ("signs", &signs, "--query.max-operators"),
        ("powers", &powers, "--query.max-nesting"),
        ("sums", &sums, "--query.max-operators"),
        ("a long query", &long, "--query.max-length"),
        (
            "a regex of repetitions",
            "up{a=~\"((a{100}){100}){100}\"}",
            "",
        ),
    ] {
        let begin = Instant::now();
        let form = format!("query={}", http::encode(query));
        let answer = http::post_form(ours.port, "/api/v1/query", &form)?;
        check(what, &answer, 400, reason)?;
        ensure!(
            begin.elapsed() < QUICKLY,
            "{what} took {:?}",
            begin.elapsed()
        );
    }
    let path = "/api/v1/query_range?query=up&start=0&end=1000000&step=1";
    let answer = http::get(ours.port, path)?;
    check("many steps", &answer, 400, "11,000")?;
    ensure!(http::get(ours.port, "/-/ready")?.status == 200);
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}

#[test]
fn writes_of_too_much_are_refused() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let ours = AllInOne::start(dir.path(), free_port())?;
    #[allow(clippy::disallowed_methods, reason = "the server has this clock too")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let series = |name: &str, more: &[(String, String)], t: i64| Series {
        labels: [("__name__".to_owned(), name.to_owned())]
            .into_iter()
            .chain(more.iter().cloned())
            .collect(),
        samples: vec![(t, 1.0)],
    };
    let label = |name: &str, value: String| vec![(name.to_owned(), value)];
    let many: Vec<_> = (0..100)
        .map(|i| (format!("l{i:03}"), "x".to_owned()))
        .collect();
    for (what, bad, reason) in [
        (
            "many labels",
            series("a", &many, now),
            "with 65 labels or more where 64 may be: too many labels (--receive.labels-max)",
        ),
        (
            "a long value",
            series("a", &label("b", "x".repeat(1 << 20)), now),
            "of 1048576 bytes where 4096 may be: label value too long (--receive.label-value-bytes-max)",
        ),
        (
            "a long name",
            series("a", &label(&"n".repeat(5000), "x".into()), now),
            "of 5000 bytes where 1024 may be: label name too long (--receive.label-name-bytes-max)",
        ),
        (
            "the future",
            series("a", &[], now + 3_600_000),
            "(--tsdb.too-far-in-future.time-window)",
        ),
    ] {
        // What is good is kept.
        let good = series("good", &[], now);
        let answer = remote_write::send(ours.port, "/api/v1/write", &[good, bad])?;
        check(what, &answer, 400, reason)?;
    }
    let path = format!("/api/v1/query?query=good&time={}", now / 1000 + 1);
    check(
        "the good series",
        &http::get(ours.port, &path)?,
        200,
        "\"value\"",
    )?;
    // Snappy that declares 4 GB.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
    ];
    let answer = http::post(ours.port, "/api/v1/write", &headers, &bomb)?;
    let reason =
        "4294967295 bytes or more, and the limit is 67108864 (--receive.decompressed-bytes-max)";
    check("a bomb", &answer, 413, reason)?;
    let query = format!("/api/v1/query?query=good&time={}", START_MS / 1000);
    ensure!(http::get(ours.port, &query)?.status == 200);
    ensure!(!ours.server.log().contains("panicked"));
    Ok(())
}

#[test]
fn messages_that_are_too_large_are_refused() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let endpoint = format!("--endpoint=127.0.0.1:{}", free_port());
    for (flag, refused) in [
        (None, true),
        (Some("--grpc.max-message-size=128MiB"), false),
    ] {
        let mut flags = vec![endpoint.clone()];
        flags.extend(flag.map(str::to_owned));
        let querier = Component::start(dir.path(), "querier", &flags)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let status = runtime.block_on(async {
            let client = StoreClient::connect(format!("http://{}", querier.address())).await?;
            let request = LabelValuesRequest {
                label: "x".repeat(65 << 20),
                ..LabelValuesRequest::default()
            };
            let mut client = client.max_encoding_message_size(usize::MAX);
            anyhow::Ok(client.label_values(request).await.err())
        })?;
        let said = status.map_or_else(String::new, |status| status.message().to_owned());
        let expected = "limit of its receiver is 67108864 bytes (--grpc.max-message-size)";
        ensure!(said.contains(expected) == refused, "{flag:?}: {said}");
        ensure!(http::get(querier.http, "/-/ready")?.status == 200);
        ensure!(!querier.log().contains("panicked"), "{}", querier.log());
    }
    Ok(())
}
