//! Short jobs lent to the threads of the pool, beside the same in a scope, which waits for each thread
//! that it starts, and alone. What pays for the unsafe code of `pool::lent` is that who lends waits for
//! nobody who comes late.

use std::hint::black_box;
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promql::executor::Executor as _;
use querier::pool::Pool;

/// Jobs of one run.
const JOBS: usize = 64;
const THREADS: usize = 2;

/// Work of about so many additions.
fn work(number: usize, additions: u64) -> u64 {
    (0..additions).fold(number as u64, |sum, n| black_box(sum.wrapping_add(n)))
}

fn benchmark(c: &mut Criterion) {
    let pool = Pool::start(THREADS).expect("the system grants two threads");
    let mut group = c.benchmark_group("pool");
    group.throughput(Throughput::Elements(JOBS as u64));
    for additions in [100, 10_000] {
        let job = |number: usize| {
            black_box(work(number, additions));
        };
        group.bench_function(format!("alone, {additions} additions"), |b| {
            b.iter(|| (0..JOBS).for_each(job));
        });
        let crew = pool.crew();
        group.bench_function(format!("lent, {additions} additions"), |b| {
            b.iter(|| crew.run(JOBS, &job));
        });
        group.bench_function(format!("scope, {additions} additions"), |b| {
            b.iter(|| {
                thread::scope(|scope| {
                    scope.spawn(|| (0..JOBS / THREADS).for_each(job));
                    (JOBS / THREADS..JOBS).for_each(job);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
