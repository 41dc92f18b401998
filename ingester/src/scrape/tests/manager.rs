//! Jobs and targets that come, stay and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::SystemClock;

use storeapi::catalog::Health;

use super::http::{Fake, TEXT, answer};
use super::*;

fn manager(recorder: &Arc<Recorder>) -> Manager {
    Manager::new(Settings {
        clock: Arc::new(SystemClock),
        ..settings(recorder, 0)
    })
}

/// Waits until `done`; on a busy machine that may take its time.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not happen in time");
}

fn jobs(list: &[&str]) -> Config {
    jobs_every("100ms", list)
}

/// An interval that a scrape takes on no machine.
const SLOW: &str = "2s";

/// As [`jobs`]; the interval is also how long a scrape may take, and one that fails ends its series.
fn jobs_every(interval: &str, list: &[&str]) -> Config {
    let text = format!(
        "global: {{scrape_interval: {interval}}}\nscrape_configs:\n{}",
        list.iter()
            .map(|job| format!("- {job}\n"))
            .collect::<String>()
    );
    Config::parse(&text, Path::new("/")).expect(&text)
}

fn up(manager: &Manager) -> usize {
    let targets = manager.targets(None).active_targets;
    targets
        .iter()
        .filter(|target| target.health == Health::Up)
        .count()
}

#[tokio::test]
async fn targets_are_scraped_and_shown() {
    let fake = Fake::start(|_, _| answer("200 OK", TEXT, b"# HELP a means\n# TYPE a gauge\na 1\n"));
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    let job = format!(
        "{{job_name: j, keep_dropped_targets: 1, static_configs: [{{targets: ['{}', drop-1, drop-2]}}], relabel_configs: [{{action: drop, source_labels: [__address__], regex: drop.*}}]}}",
        fake.address
    );
    manager.reload(&jobs(&[&job])).unwrap();
    until("a scrape", || up(&manager) == 1).await;

    let shown = serde_json::to_value(manager.targets(None)).unwrap();
    let active = &shown["activeTargets"][0];
    assert_eq!(active["labels"]["instance"], *fake.address);
    assert_eq!(active["discoveredLabels"]["__scheme__"], "http");
    assert_eq!(active["scrapePool"], "j");
    assert_eq!(
        active["scrapeUrl"],
        format!("http://{}/metrics", fake.address)
    );
    assert!(
        active["globalUrl"]
            .as_str()
            .unwrap()
            .starts_with("http://host:")
    );
    assert_eq!(
        (&active["lastError"], &active["health"]),
        (&"".into(), &"up".into())
    );
    assert_eq!(active["scrapeInterval"], "100ms");
    assert!(active["lastScrape"].as_str().unwrap().starts_with("20"));
    assert_eq!(shown["droppedTargets"].as_array().unwrap().len(), 1);
    assert_eq!(shown["droppedTargetCounts"]["j"], 2);
    assert!(manager.targets(Some("other")).active_targets.is_empty());

    let metadata = serde_json::to_value(manager.metadata(None)).unwrap();
    assert_eq!(
        metadata["a"][0],
        serde_json::json!({"type": "gauge", "help": "means", "unit": ""})
    );
    let one = manager.targets_metadata(|target| target.get("job") == Some("j"), Some("a"), None);
    assert_eq!((one.len(), &*one[0].metric), (1, ""));
    assert!(manager.targets_metadata(|_| false, None, None).is_empty());
    assert_eq!(manager.pools(), ["j"]);
}

#[tokio::test]
async fn a_reload_touches_what_changed() {
    let fake = Fake::start(|_, _| answer("200 OK", TEXT, b"a 1\nb 1\n"));
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    let job = |name: &str, more: &str| {
        let target = &fake.address;
        format!("{{job_name: {name}, static_configs: [{{targets: ['{target}']}}]{more}}}")
    };
    let (kept, changed) = (job("kept", ""), job("changed", ""));
    manager
        .reload(&jobs_every(SLOW, &[&kept, &changed]))
        .unwrap();
    until("both are scraped", || up(&manager) == 2).await;
    let loops = |name: &str| {
        let pools = manager.pools.lock();
        let found: Vec<_> = pools[name]
            .active()
            .into_iter()
            .map(|v| v.scraped)
            .collect();
        Arc::clone(&found[0])
    };
    let (old_kept, old_changed) = (loops("kept"), loops("changed"));
    recorder.lines();

    let dropping =
        ", metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: b}]";
    manager
        .reload(&jobs_every(SLOW, &[&kept, &job("changed", dropping)]))
        .unwrap();
    let stale = |line: &String| {
        line.contains("changed") && line.contains("\"b\"") && line.contains("stale")
    };
    let mut lines = Vec::new();
    until("the series that is dropped from now on ends", || {
        lines.extend(recorder.lines());
        lines.iter().any(stale)
    })
    .await;
    assert!(Arc::ptr_eq(&old_kept, &loops("kept")));
    let new_changed = loops("changed");
    assert!(!Arc::ptr_eq(&old_changed, &new_changed));
    assert!(Arc::ptr_eq(&old_changed.cache, &new_changed.cache));
    assert_eq!(
        lines.iter().filter(|line| line.contains("stale")).count(),
        1,
        "{lines:?}"
    );
}

#[tokio::test]
async fn what_is_gone_ends_and_what_is_wrong_does_not_start() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let fake = Fake::start(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        answer("200 OK", TEXT, b"a 1\n")
    });
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    let job = |name: &str, more: &str| {
        let target = &fake.address;
        format!("{{job_name: {name}, static_configs: [{{targets: ['{target}']}}]{more}}}")
    };
    let kept = job("kept", "");
    manager
        .reload(&jobs_every(SLOW, &[&kept, &job("gone", "")]))
        .unwrap();
    until("both are scraped", || up(&manager) == 2).await;

    let wrong = job("wrong", ", tls_config: {ca_file: /does/not/exist}");
    let error = manager
        .reload(&jobs_every(SLOW, &[&kept, &wrong]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("job \"wrong\": error creating HTTP client"),
        "{error}"
    );
    assert_eq!(manager.pools(), ["kept"]);
    let mut lines = Vec::new();
    until("the job that is gone ends", || {
        lines.extend(recorder.lines());
        lines
            .iter()
            .any(|line| line.contains("\"up\"") && line.contains("stale"))
    })
    .await;
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("stale") || line.contains("gone"))
    );

    drop(manager);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = asked.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        before,
        "nothing is scraped any more"
    );
}

#[tokio::test]
async fn files_and_http_servers_name_targets() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(|path, head| match path {
        "/sd" => {
            assert!(head.iter().any(|line| {
                line.eq_ignore_ascii_case("x-prometheus-refresh-interval-seconds: 60")
            }));
            let list =
                br#"[{"targets": ["from-http:1"], "labels": {"__meta_a": "b", "env": "x"}}]"#;
            answer("200 OK", "Content-Type: application/json\r\n", list)
        }
        _ => answer("404 Not Found", "", b""),
    });
    std::fs::write(dir.path().join("t.yml"), "- targets: [from-file:1]\n").unwrap();
    let job = format!(
        "{{job_name: j, http_sd_configs: [{{url: 'http://{}/sd'}}], file_sd_configs: [{{files: ['{}/*.yml']}}]}}",
        fake.address,
        dir.path().display()
    );
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    manager.reload(&jobs(&[&job])).unwrap();
    until("both sources are asked", || {
        manager.targets(None).active_targets.len() == 2
    })
    .await;
    let targets = manager.targets(None).active_targets;
    assert_eq!(targets[1].labels.get("instance"), Some("from-file:1"));
    assert_eq!(
        targets[0].labels.to_string(),
        r#"{env="x", instance="from-http:1", job="j"}"#
    );
    let url = format!("http://{}/sd", fake.address);
    assert_eq!(targets[0].discovered_labels.get("__meta_url"), Some(&*url));
}

#[tokio::test]
async fn a_source_that_fails_keeps_no_targets_of_others() {
    let is_less = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let less = Arc::clone(&is_less);
    let fake = Fake::start(move |path, _| match path {
        "/sd" => {
            let list: &[u8] = match less.load(Ordering::SeqCst) {
                true => br#"[{"targets": ["a:1"]}]"#,
                false => br#"[{"targets": ["a:1", "b:1"]}]"#,
            };
            answer("200 OK", "Content-Type: application/json\r\n", list)
        }
        _ => answer("500 Internal Server Error", "", b""),
    });
    let job = format!(
        "{{job_name: j, http_sd_configs: [{{url: 'http://{0}/sd', refresh_interval: 50ms}}, {{url: 'http://{0}/broken', refresh_interval: 50ms}}]}}",
        fake.address
    );
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    manager.reload(&jobs(&[&job])).unwrap();
    let active = |count: usize| manager.targets(None).active_targets.len() == count;
    until("both targets are found", || active(2)).await;
    is_less.store(true, Ordering::SeqCst);
    until("one goes", || active(1)).await;
}

#[tokio::test]
async fn too_many_targets_fail_all_of_them() {
    let recorder = Arc::new(Recorder::default());
    let manager = manager(&recorder);
    let job = "{job_name: j, target_limit: 1, static_configs: [{targets: ['a:1', 'b:1']}]}";
    manager.reload(&jobs(&[job])).unwrap();
    until("both fail", || {
        let targets = manager.targets(None).active_targets;
        targets.len() == 2 && targets.iter().all(|t| t.health == Health::Down)
    })
    .await;
    assert_eq!(
        manager.targets(None).active_targets[0].last_error,
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
}
