//! What comes for a SOFALookout gateway: its client, gateways that pass on, and pushes of others write
//! known values, and Lookout's queries return exactly those.

use std::path::Path;

use anyhow::{Context as _, ensure};
use model::time::Rfc3339;
use promontory_tests::lookout::Client;
use promontory_tests::{free_port, http};
use serde_json::{Value, json};

use crate::all_in_one::AllInOne;

struct Lookout {
    gateway: u16,
    admin: u16,
    ours: AllInOne,
}

impl Lookout {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        let (gateway, admin) = (free_port(), free_port());
        let flags = [
            format!("--lookout.address=127.0.0.1:{gateway}"),
            format!("--lookout.admin-address=127.0.0.1:{admin}"),
            "--query.dialect=lookout".to_owned(),
        ];
        Ok(Self {
            gateway,
            admin,
            ours: AllInOne::start_with(dir, free_port(), &flags)?,
        })
    }

    /// The answer of an endpoint of the HTTP API.
    fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let answer = http::get(self.ours.port, path)?;
        serde_json::from_str(&answer.body).context(answer.body)
    }

    /// Values of a range selector by a label: times in seconds with values.
    fn values(&self, selector: &str, end: i64) -> anyhow::Result<Value> {
        let query = http::encode(selector);
        let path = format!("/api/v1/query?query={query}&time={end}");
        let body = self.ask(&path)?;
        ensure!(body["status"] == "success", "{selector}: {body}");
        ensure!(body.get("debugInfo") == Some(&Value::Null), "{body}");
        let series = body["data"]["result"].as_array().context("no result")?;
        Ok(series.iter().map(|one| one["values"].clone()).collect())
    }
}

/// A time as the client prints it, in a zone east of Greenwich.
fn iso(seconds: i64) -> String {
    let local = Rfc3339((seconds + 8 * 3600) * 1000).to_string();
    local.replace('Z', "+08:00")
}

fn now_seconds() -> i64 {
    promontory_tests::now_ms() / 1000
}

#[test]
fn what_the_client_reports_is_what_queries_return() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let lookout = Lookout::start(dir.path())?;
    let t = now_seconds() - 60;
    let mut client = Client::connect(lookout.gateway, "order-center")?;
    let checked = client.check()?;
    ensure!(
        (checked.status, &*checked.body) == (200, "OK"),
        "{checked:?}"
    );
    let record = |seconds: i64, rest: &str| {
        format!(
            r#"{{"time":"{}","tags":{{"app":"order-center","host":"n7","#,
            iso(seconds)
        ) + rest
    };
    for i in 0..3 {
        let answer = client.report(&[
            record(t + i, &format!(r#""_type_":"g"}},"jvm.memory.heap":{{"used":{}}}}}"#, 1000 + i)),
            record(t + i, &format!(r#""_type_":"t","method":"pay"}},"rpc.provider.stats":{{"elapPerExec":0.0{i},"totalTime":0.36,"max":1.0E-{i}}}}}"#)),
        ])?;
        ensure!((answer.status, &*answer.body) == (200, ""), "{answer:?}");
    }
    // So many are compressed.
    let many: Vec<_> = (0..150)
        .map(|i| {
            record(
                t,
                &format!(r#""_type_":"c","method":"m{i}"}},"calls":{{"count":{i}}}}}"#),
            )
        })
        .collect();
    ensure!(client.report(&many)?.status == 200);

    let points = |values: [&str; 3]| {
        let points = values.iter().zip(t..).map(|(v, t)| json!([t, v]));
        json!([points.collect::<Value>()])
    };
    for (selector, expected) in [
        (
            r#"jvm.memory.heap.used{app="order-center",ip="10.0.0.7"}[5m]"#,
            points(["1000", "1001", "1002"]),
        ),
        (
            r#"rpc.provider.stats.max{method="pay"}[5m]"#,
            points(["1", "0.1", "0.01"]),
        ),
        (
            r#"calls.count{method=~|"m7|m149|nothing"}[5m]"#,
            json!([[[t, "149"]], [[t, "7"]]]),
        ),
    ] {
        let found = lookout.values(selector, t + 30)?;
        ensure!(found == expected, "{selector}: {found} is not {expected}");
    }
    // Those first that most series have.
    let range = format!("start={t}&end={}", t + 60);
    let values = lookout.ask(&format!(
        "/api/v1/label/__name__/values?q=c&size=20&{range}"
    ))?;
    ensure!(values["data"] == json!(["calls.count"]), "{values}");
    let values = lookout.ask(&format!(
        "/api/v1/label/__name__/values?lk=app&lv=order-center&size=2&{range}"
    ))?;
    ensure!(
        values["data"] == json!(["calls.count", "jvm.memory.heap.used"]),
        "{values}"
    );
    functions_know_dots_and_sets(&lookout, t)
}

/// Asks for what the first test has reported from `t` on, by what only Lookout's dialect has.
fn functions_know_dots_and_sets(lookout: &Lookout, t: i64) -> anyhow::Result<()> {
    let at = |query: &str| -> anyhow::Result<Value> {
        let path = format!(
            "/api/v1/query?query={}&time={}",
            http::encode(query),
            (t + 30) * 1000
        );
        Ok(lookout.ask(&path)?["data"]["result"].clone())
    };
    for (query, expected) in [
        ("Increase2(jvm.memory.heap.used[5m])", "2"),
        ("sum(calls.count)", "11175"),
        (r#"count(calls.count{method!~|"m1|m2"})"#, "148"),
    ] {
        let found = at(query)?;
        ensure!(found[0]["value"][1] == expected, "{query}: {found}");
    }
    let kept = at("sum2_over_time(jvm.memory.heap.used[5m])")?;
    ensure!(
        kept[0]["metric"]["__name__"] == "jvm.memory.heap.used",
        "{kept}"
    );
    Ok(())
}

#[test]
fn pushes_of_others_arrive_with_their_tags() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let lookout = Lookout::start(dir.path())?;
    let t = (now_seconds() - 60) / 10 * 10;
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        http::post(lookout.gateway, path, headers, body.as_bytes())
    };
    let record = format!(
        r#"{{"time":{}000,"tags":{{}},"job.rows":{{"copied":7}}}}"#,
        t + 3
    );
    ensure!(post("/lookout/metrics/app/batch/step/10/zone/hz1", &[], &record)?.status == 200);
    let exposition = format!("rows_total{{table=\"a b\"}} 3 {}\n", (t + 4) * 1000);
    ensure!(post("/prom/metrics/job/copy/app/batch/step/10", &[], &exposition)?.status == 202);
    let point = format!(
        r#"[{{"metric":"sys.cpu","timestamp":{},"value":1.5,"tags":{{"host":"a"}}}}]"#,
        t + 5
    );
    let headers = [("app", "batch"), ("step", "10")];
    ensure!(post("/opentsdb/api/put", &headers, &point)?.status == 202);
    for (selector, expected) in [
        (
            r#"job.rows.copied{app="batch",zone="hz1"}[5m]"#,
            json!([[[t + 3, "7"]]]),
        ),
        (
            r#"rows_total{app="batch",job="copy",table="a_b"}[5m]"#,
            json!([[[t, "3"]]]),
        ),
        (
            r#"sys.cpu{app="batch",host="a",ip="127.0.0.1"}[5m]"#,
            json!([[[t, "1.5"]]]),
        ),
    ] {
        let found = lookout.values(selector, t + 30)?;
        ensure!(found == expected, "{selector}: {found} is not {expected}");
    }

    let range = format!("start={t}&end={}", t + 60);
    let names = lookout.ask(&format!(
        "/api/v1/label/__name__/values?q=job.&size=20&{range}"
    ))?;
    ensure!(names["data"] == json!(["job.rows.copied"]), "{names}");
    let hosts = lookout.ask(&format!(
        "/api/v1/label/host/values?lk=__name__&lv=sys.cpu&{range}"
    ))?;
    ensure!(hosts["data"] == json!(["a"]), "{hosts}");
    let query = http::encode(r#"sys.cpu{app="batch",host="none"}"#);
    let graph = format!(
        "/api/v1/query_range?query={query}&start={t}000&end={}000&step=10",
        t + 20
    );
    let debugged = lookout.ask(&format!("{graph}&exclusions=host&debug=1"))?;
    let points = json!([[t, "1.5"], [t + 10, "1.5"], [t + 20, "1.5"]]);
    ensure!(
        debugged["data"]["result"][0]["values"] == points,
        "{debugged}"
    );
    ensure!(
        debugged["debugInfo"]["realQuery"] == r#"{__name__="sys.cpu",app="batch"}"#,
        "{debugged}"
    );
    let wrong = lookout.ask("/api/v1/query?query=sum(")?;
    let error = wrong["error"].as_str().context("no error")?;
    ensure!(error.ends_with(" rawQuery:sum( realQuery:sum("), "{wrong}");
    ensure!(http::get(lookout.ours.port, "/_cat/health")?.body == "true");
    Ok(())
}

#[test]
fn a_gateway_that_is_taken_out_of_use_refuses() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let lookout = Lookout::start(dir.path())?;
    ensure!(http::get(lookout.admin, "/ok")?.body == "online");
    let mut client = Client::connect(lookout.gateway, "a")?;
    ensure!(http::get(lookout.admin, "/cmd/down")?.body == "ok");
    let refused = client.check()?;
    ensure!(
        (refused.status, &*refused.body) == (400, "lookout gateway is in refuse requests mode"),
        "{refused:?}"
    );
    ensure!(http::get(lookout.admin, "/cmd/up")?.body == "ok");
    ensure!(client.check()?.status == 200);
    Ok(())
}
