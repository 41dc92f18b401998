//! Evaluates expressions under tight limits: no panic, no hang, whatever is written.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use model::Labels;
use promql::columns::{StepValue, Steps};
use promql::parse::{Options as ParseOptions, parse_expr};
use promql::testing::MemoryStorage;
use promql::testing::storage::LoadedSeries;
use promql::{Engine, Options};

static STORAGE: LazyLock<MemoryStorage> = LazyLock::new(|| {
    let mut storage = MemoryStorage::new();
    for (name, job) in [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
        ("b_bucket", "x"),
        ("h", "x"),
        ("m", "y"),
    ] {
        let value = |i: i64| match name {
            "h" => histogram(i),
            "m" if i % 2 == 0 => histogram(i),
            _ => StepValue::Float(((i * 7) % 11) as f64 - 3.0),
        };
        storage.append(LoadedSeries {
            labels: Labels::from_pairs([("__name__", name), ("job", job), ("le", "1")]),
            samples: (0..40)
                .map(|i| (i * 15_000, i * 14_000, value(i)))
                .collect(),
        });
    }
    storage
});

fn histogram(i: i64) -> StepValue {
    let mut h = model::FloatHistogram {
        count: i as f64,
        sum: i as f64 * 2.0,
        ..model::FloatHistogram::default()
    };
    h.positive_spans = vec![model::Span {
        offset: 0,
        length: 2,
    }];
    h.positive_buckets = vec![i as f64 / 2.0, i as f64 / 2.0];
    StepValue::Histogram(Arc::new(h))
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(expr) = parse_expr(text, ParseOptions::all_features()) else {
        return;
    };
    for delayed_name_removal in [false, true] {
        let mut options = Options {
            delayed_name_removal,
            start_timestamps: true,
            ..Options::default()
        };
        options.limits.samples_max = 100_000;
        options.limits.bytes_max = 8 << 20;
        options.limits.subquery_steps_max = 10_000;
        options.limits.timeout = Duration::from_millis(500);
        let engine = Engine::new(options);
        let _ = engine.instant(&*STORAGE, (&expr, text), 300_000);
        let _ = engine.range(&*STORAGE, (&expr, text), Steps::range(0, 600_000, 60_000));
    }
});
