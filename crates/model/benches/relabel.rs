//! Relabelling a scraped sample's labels by the rules that most setups have.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use model::labels::NameScheme;
use model::relabel::{RelabelAction, RelabelConfig, RelabelRule, relabel};
use model::{Labels, LabelsBuilder};

fn rule(action: RelabelAction, source: &[&str], regex: &str, target: &str) -> RelabelRule {
    let text = |s: &str| (!s.is_empty()).then(|| s.to_owned());
    let config = RelabelConfig {
        source_labels: Some(source.iter().map(|&s| s.to_owned()).collect())
            .filter(|s: &Vec<_>| !s.is_empty()),
        regex: text(regex),
        target_label: text(target),
        action,
        ..RelabelConfig::default()
    };
    config.compile(NameScheme::Utf8).expect("a valid rule")
}

fn bench(c: &mut Criterion) {
    let labels = Labels::from_pairs([
        ("__name__", "container_cpu_usage_seconds_total"),
        ("container", "checkout"),
        ("instance", "10.0.12.7:10250"),
        ("job", "kubelet"),
        ("namespace", "shop"),
        ("pod", "checkout-7f9c4d5b8-x2x7q"),
    ]);
    let mut builder = LabelsBuilder::new();
    for (name, rules) in [
        (
            "drop by name",
            vec![rule(
                RelabelAction::Drop,
                &["__name__"],
                "go_.*|process_.*",
                "",
            )],
        ),
        (
            "copy a label",
            vec![rule(RelabelAction::Replace, &["pod"], "", "pod_name")],
        ),
        (
            "take a part",
            vec![rule(
                RelabelAction::Replace,
                &["instance"],
                r"([^:]+):\d+",
                "host",
            )],
        ),
        (
            "join two",
            vec![rule(
                RelabelAction::Replace,
                &["namespace", "pod"],
                "",
                "owner",
            )],
        ),
        (
            "drop labels",
            vec![rule(RelabelAction::LabelDrop, &[], "pod|container", "")],
        ),
    ] {
        c.bench_function(name, |b| {
            b.iter(|| {
                builder.reset(black_box(&labels));
                relabel(&rules, &mut builder).then(|| builder.labels())
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
