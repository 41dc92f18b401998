//! Answers in Lookout's dialect, byte for byte.

use super::*;
use crate::dialect::DialectFlags;

fn fixture(guard_rails: bool) -> Fixture {
    Fixture::of(Settings {
        dialect: DialectFlags {
            dialect: Dialect::Lookout,
            guard_rails,
            ..DialectFlags::default()
        },
        ..Settings::default()
    })
}

fn check(f: &Fixture, target: &str, status: u16, body: &str) {
    let answer = f.send(Method::GET, target);
    assert_eq!(answer, (status, body.to_owned()), "{target}");
}

#[test]
fn every_answer_has_a_place_for_debugging_and_whole_seconds() {
    let f = fixture(false);
    for (target, data) in [
        (
            "query?query=1%2b1",
            r#"{"resultType":"scalar","result":[540,"2"]}"#,
        ),
        (
            "query?query=up{job='x'}&time=120.9&timeout=1",
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"x"},"value":[120,"2"]}]}"#,
        ),
        (
            "query_range?query=sum(up{job='none'})&exclusions=job,%20a&start=60.5&end=120.5&step=60&useNative=true",
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[60,"2"],[120,"4"]]}]}"#,
        ),
        ("labels?q=up", r#"["__name__","a.b","job"]"#),
    ] {
        let body = format!(r#"{{"status":"success","data":{data},"debugInfo":null}}"#);
        check(&f, &format!("{PREFIX}{target}"), 200, &body);
    }
    check(&f, "/", 302, "the console is at /index.html\n");
    check(&f, "/index.html", 200, PAGE);
    check(&f, "/_cat/health", 200, "true");
    check(&f, "/index/entries", 200, "{}");
}

#[test]
fn values_of_a_label_are_restricted_and_those_of_most_series_first() {
    let f = fixture(false);
    for (target, data) in [
        ("job/values", r#"["x","y"]"#),
        ("job/values?q=y&instanceId=i", r#"["y"]"#),
        ("job/values?lk=__name__&lv=up", r#"["x","y"]"#),
        ("job/values?lk=a.b&lv=z", "[]"),
        ("__name__/values?lk=job&lv=x&q=u&size=20", r#"["up"]"#),
        ("__name__/values", r#"["up"]"#),
        ("none/values", "[]"),
    ] {
        let body = format!(r#"{{"status":"success","data":{data},"debugInfo":null}}"#);
        check(&f, &format!("{PREFIX}label/{target}"), 200, &body);
    }
    let (_, answer) = f.get("label/job/values?size=1");
    assert_eq!(answer["data"], json!(["x"]));
}

#[test]
fn errors_say_the_query_before_and_after() {
    let f = fixture(false);
    let error =
        |text: &str| format!(r#"{{"status":"error","errorType":"bad_data","error":"{text}"}}"#);
    check(
        &f,
        "/api/v1/query?query={job='x'}&exclusions=job",
        400,
        &error("need to add tag filtering rawQuery:{job='x'} realQuery:{}"),
    );
    check(
        &f,
        "/api/v1/label/job/values?lk=a",
        400,
        &error("lk and lv must be as many as each other, and at most two"),
    );
    // `up` alone is refused only where that is wanted.
    assert_eq!(f.get("query?query=up").0, 200);
    let f = fixture(true);
    check(
        &f,
        "/api/v1/query?query=up",
        400,
        &error("need to add tag filtering rawQuery:up realQuery:up"),
    );
    check(
        &f,
        "/api/v1/query?query=up{job=~'x.*'}",
        400,
        &error(
            "when use regex you need to add two tags rawQuery:up{job=~'x.*'} realQuery:up{job=~'x.*'}",
        ),
    );
}
