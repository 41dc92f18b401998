use tsdb::batch::{Batch, Reject};

use super::*;
use crate::protocols::names::Names;
use crate::receive::Reason;

fn pipeline(text: &str) -> Arc<Pipeline> {
    Arc::new(Pipeline::of_text(text))
}

fn batch(series: &[&[(&str, &str)]]) -> Batch {
    let mut batch = Batch::new();
    for (i, labels) in series.iter().enumerate() {
        batch.series(labels.iter().copied());
        batch.float(i as i64, 1.0);
    }
    batch
}

fn shown(batch: &Batch) -> Vec<String> {
    let shown = |labels| model::Labels::from_encoded(labels).to_string();
    batch.iter().map(|series| shown(series.labels)).collect()
}

#[test]
fn rules_before_limits_and_rules_after_in_this_order() {
    let pipeline = pipeline(concat!(
        "all:\n",
        "  before: [{action: drop, source_labels: [__name__], regex: 'debug.*'}]\n",
        "  after: [{action: drop, source_labels: [env], regex: test}]\n",
        "receivers:\n",
        "  opentsdb:\n",
        "    before: [{source_labels: [__name__], regex: 'sys\\.(.*)', target_label: __name__, replacement: 'debug_$1'}, {action: labeldrop, regex: secret}]\n",
        "    limits: {labels: 2}\n",
    ));
    let input = batch(&[
        &[("__name__", "sys.cpu")],
        &[("__name__", "a"), ("env", "test")],
        &[("__name__", "b"), ("env", "prod"), ("secret", "x")],
        &[("__name__", "c"), ("d", "1"), ("e", "2")],
    ]);
    let refined = pipeline
        .stage("opentsdb")
        .refine("", &input, Names::Keep, 0)
        .unwrap();
    assert_eq!(shown(&refined.batch), [r#"{__name__="b", env="prod"}"#]);
    assert_eq!(refined.batch.get(0).floats[0].t, 2);
    assert_eq!(refined.origins, [2]);
    assert_eq!(
        refined.dropped,
        Dropped {
            before: 1,
            after: 1
        }
    );
    assert_eq!(refined.refused, [(3, Reason::TooManyLabels)]);

    // Rules of one receiver are not those of another.
    let others = pipeline
        .stage(REMOTE_WRITE)
        .refine("", &input, Names::Keep, 0)
        .unwrap();
    assert_eq!(others.origins, [0, 2, 3]);
    let nothing_said = Arc::new(Pipeline::default());
    assert!(
        nothing_said
            .stage("opentsdb")
            .refine("", &input, Names::Keep, 0)
            .is_none()
    );
}

#[test]
fn a_series_needs_a_name() {
    let pipeline = pipeline("all: {after: [{action: labeldrop, regex: __name__}]}");
    let input = batch(&[&[("__name__", "a")]]);
    let stage = pipeline.stage("opentsdb");
    let refined = stage.refine("", &input, Names::Keep, 0).unwrap();
    assert_eq!(refined.refused, [(0, Reason::NoMetricName)]);
}

#[test]
fn series_are_limited_by_tenant() {
    let pipeline = pipeline("receivers: {opentsdb: {tenants: {acme: {series: 1}}}}");
    let stage = pipeline.stage("opentsdb");
    let input = batch(&[&[("__name__", "a")], &[("__name__", "b")]]);
    assert!(stage.refine("", &input, Names::Keep, 0).is_none());
    for now_ms in [0, 1] {
        let refined = stage.refine("acme", &input, Names::Keep, now_ms).unwrap();
        assert_eq!(refined.origins, [0]);
        let reason = Reason::Head(Reject::SeriesLimit);
        assert_eq!(refined.refused, [(1, reason)]);
    }
}

#[test]
fn a_bad_file_leaves_the_old_rules() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pipeline.yml");
    std::fs::write(&file, "all: {limits: {points_per_second: 5}}").unwrap();
    let pipeline = Arc::new(Pipeline::open(Some(file.clone())).unwrap());
    let stage = pipeline.stage("opentsdb");
    let rate = || stage.rules().limits("").points_per_second;
    assert_eq!(rate(), Some(5));
    std::fs::write(&file, "all: {limits: {points_per_second: x}}").unwrap();
    let error = pipeline.reload().unwrap_err().to_string();
    assert!(
        error.contains("pipeline.yml: line 1, column 35: "),
        "{error}"
    );
    assert_eq!(rate(), Some(5));
    std::fs::write(&file, "all: {limits: {points_per_second: 6}}").unwrap();
    pipeline.reload().unwrap();
    assert_eq!(rate(), Some(6));
    assert!(Pipeline::open(Some(dir.path().join("absent"))).is_err());
}
