//! Any expression, arbitrary text as well as one generated from the bytes, is evaluated or refused
//! within tight limits, over series of every kind.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use promql::columns::Steps;
use promql::limits::Limits;
use promql::testing::MemoryStorage;
use promql::testing::generate::choices::{Bytes, Choices, Seeded};
use promql::testing::generate::{self, data};
use promql::testing::script::{Command, parse};
use promql::{Engine, Options};

static STORAGE: LazyLock<MemoryStorage> = LazyLock::new(|| {
    let text = data::load_script(&mut Seeded::new(1));
    let mut storage = MemoryStorage::new();
    for command in parse(&text).expect("generated data is a script") {
        if let Command::Load(load) = command {
            load.series.into_iter().for_each(|s| storage.append(s));
        }
    }
    storage
});

fn evaluate(text: &str, choices: &mut Bytes<'_>) {
    let Ok(expr) = promql::parse::parse_expr(text, promql::parse::Options::all_features()) else {
        return;
    };
    let options = Options {
        delayed_name_removal: choices.below(2) == 1,
        start_timestamps: choices.below(2) == 1,
        type_and_unit_labels: choices.below(2) == 1,
        per_step_stats: choices.below(2) == 1,
        limits: Limits {
            samples_max: 100_000,
            bytes_max: 64 << 20,
            steps_max: 50,
            subquery_steps_max: 1000,
            timeout: Duration::from_secs(1),
        },
        ..Options::default()
    };
    let engine = Engine::new(options);
    let start = choices.below(45) as i64 * 30_000 + choices.below(3) as i64 - 1;
    let begin = Instant::now();
    let _ = if choices.below(2) == 0 {
        engine.instant(&*STORAGE, (&expr, text), start)
    } else {
        let step = [1, 17_000, 30_000, 300_000][choices.below(4)];
        let end = start + step * choices.below(20) as i64;
        engine.range(&*STORAGE, (&expr, text), Steps::range(start, end, step))
    };
    // Sanitizers are slow; a hang is something else.
    assert!(begin.elapsed() < Duration::from_secs(10), "{text}");
}

fuzz_target!(|data: &[u8]| {
    let Some((&mode, rest)) = data.split_first() else { return };
    let mut choices = Bytes::new(rest);
    if mode % 2 == 0 {
        let text = generate::expression(&mut choices);
        evaluate(&text, &mut choices);
    } else if let Ok(text) = std::str::from_utf8(rest) {
        evaluate(text, &mut Bytes::new(&data[..1]));
    }
});
